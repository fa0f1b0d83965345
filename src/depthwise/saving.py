"""`keras.saving` by name: models to and from `.keras` files."""

from depthwise.models import load_model, save_model

__all__ = ["load_model", "save_model"]
