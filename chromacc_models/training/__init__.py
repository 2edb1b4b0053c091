"""Training: options, the training loop, and the run folders that it leaves."""
