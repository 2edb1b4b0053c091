"""Models for Kipoi: the folder that holds one, the class that serves it, and what Kipoi needs mended."""

from chromacc_data.files import writable_home

with writable_home():
    import kipoi  # noqa: F401  (the first import writes ~/.kipoi)
