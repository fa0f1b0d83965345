"""What is raised where an ONNX file leaves sizes open; apart from the reader, which only ONNX files need."""

from depthwise.errors import UnsupportedError

__all__ = ["ShapesNeededError"]


class ShapesNeededError(UnsupportedError):
    """The file leaves sizes open that must be known; the message says which and how to give them.

    Attributes:
        inputs: the names of the file's inputs.
        batches: their first sizes where the file says them, else None.
    """

    inputs: tuple[str, ...] = ()
    batches: tuple[int | None, ...] = ()
