"""Stores: their layout, how they are written and read, and batches of their windows."""
