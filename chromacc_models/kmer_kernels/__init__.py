"""K-mer kernels, which compute the front end of networks from base codes, and the Keras model around them."""
