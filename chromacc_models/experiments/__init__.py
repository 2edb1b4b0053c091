"""The experiments of the thesis, as data and as one command that makes them again.

`catalogue` says what is trained and claimed, `reproduce` trains and measures it, `measures` turns a run into
plain numbers, `page` draws and writes what they say.
"""
