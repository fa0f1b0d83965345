"""The `onnx` package, imported when it is first needed."""

from types import ModuleType

from depthwise.errors import DepthwiseError

__all__ = ["require_onnx"]


def require_onnx() -> ModuleType:
    """The `onnx` package with its checker, helpers and shape inference.

    Raises:
        DepthwiseError: it is not installed; the message says how to install it.
    """
    try:
        import onnx
        import onnx.checker
        import onnx.helper
        import onnx.numpy_helper
        import onnx.shape_inference
    except ImportError as error:
        raise DepthwiseError(
            "ONNX files need the package onnx, which is not installed: pip install 'depthwise[onnx]'"
        ) from error
    return onnx
