"""Scores of networks, comparisons of networks, and cross-validation."""
