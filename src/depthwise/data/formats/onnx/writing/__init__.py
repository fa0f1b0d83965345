"""Writes a network as an ONNX file that every runtime of ONNX reads.

A file comes from the program that `depthwise.compiler.lower` makes, before anything is fused: one rule an operation, not one a layer.
"""
