"""How each operation of the program is written, a file a family."""

from depthwise.data.formats.onnx.writing.rules import convolution, elementwise, resampling, shaping, sums
from depthwise.data.formats.onnx.writing.rules.registry import RULES, write

__all__ = ["RULES", "convolution", "elementwise", "resampling", "shaping", "sums", "write"]
