"""Networks: layers, architectures, and the files that hold their weights."""
