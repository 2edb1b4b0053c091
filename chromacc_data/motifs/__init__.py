"""Motifs, and the files they come in."""
