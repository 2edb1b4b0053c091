"""Predictions of trained networks from base codes, without TensorFlow."""
