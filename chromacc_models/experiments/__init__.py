"""The experiments of the thesis, as data and as one command that makes them again.

`arms` says what is trained and `catalogue` what is claimed of it (in the words of `claims`, with the `rows`
that experiments share), `reproduce` trains and measures it, `measures` turns runs into plain numbers (those
of interactions by `pairs`), `page` writes and `pictures` draws what they say.
"""
