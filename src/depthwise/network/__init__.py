"""The network as data: its graph, and the facts that follow from it. Standard library only, but for drawing weights."""
