"""Sequences with known truth: backgrounds, planted motifs, accessibility models, and the truth in a store."""
