"""The experiments of the thesis, as data and as one command that reproduces them.

`arms` says what is trained and `catalogue` what is claimed of it (in the types of `claims`, with the `rows`
that experiments share). `reproduce` trains and measures, and `measures` turns runs into plain numbers (those
of interactions by `pairs`). `page` writes them down by a template: values become `cells`, tests become
`comparisons`, and `pictures` draws the rest.
"""
