"""The experiments of the thesis, as data and as one command that makes them again.

`arms` says what is trained and `catalogue` what is claimed of it (in the words of `claims`), `reproduce`
trains and measures it, `measures` turns runs into plain numbers, `page` draws and writes what they say.
"""
