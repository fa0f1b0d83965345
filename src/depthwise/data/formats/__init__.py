"""Files and live Keras models ↔ a graph and its weights.

What is read here is data from strangers: it is parsed through allowlists, sizes are checked before anything is allocated, and
nothing in it can run.
"""
