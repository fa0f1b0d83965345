"""Scripts that people learn Keras with, in our own words: structure, layers and calls are those of the public originals.

Each has a function `main(keras)`, which gets either Keras or Depthwise, and returns the numbers that it would print.
"""
