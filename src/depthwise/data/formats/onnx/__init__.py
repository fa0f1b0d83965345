"""ONNX files ↔ networks. `reading` opens them, `writing` makes them.

The `onnx` package, the extra `depthwise[onnx]`, holds the format: its messages, its checker and its shape inference. It takes half a
second to import and most users never need it, so it is imported where a file is read or written, through `package.py`.
"""
