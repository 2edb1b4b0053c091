"""The front end of networks on base codes, by tables of k-mers: kernels, and the Keras model around them."""
