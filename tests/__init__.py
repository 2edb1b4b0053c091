"""Tests of chromacc; the folders are those of the packages."""

from pathlib import Path

#: The checkout.
ROOT = Path(__file__).resolve().parents[1]
