"""Other compressors on the same rows, the same budget and the same draft weights, each in an environment of its own."""
