"""Exact effects of single bases on a trained network's output."""
