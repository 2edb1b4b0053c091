"""Interpretation of networks: filters to motifs, motifs to known factors, vectors to interactions."""
