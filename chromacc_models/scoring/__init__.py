"""Trained networks asked without TensorFlow: base codes to predictions."""
