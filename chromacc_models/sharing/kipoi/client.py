"""What we use of the Kipoi client, imported in one place: its first import writes into the home folder."""

from chromacc_data.files import writable_home

with writable_home():
    import kipoi
    from kipoi import data, model, writers
    from kipoi.cli import main as commands
    from kipoi.model import BaseModel, GradientMixin, LayerActivationMixin
    from kipoi.specs import DataLoaderDescription, MetadataType, download_default_args

__all__ = [
    "BaseModel",
    "DataLoaderDescription",
    "GradientMixin",
    "LayerActivationMixin",
    "MetadataType",
    "commands",
    "data",
    "download_default_args",
    "kipoi",
    "model",
    "writers",
]
