"""Depthwise: explain, compare, train and run convolutional networks on the CPU."""

__version__ = "0.1.0"
