import pytest


def pytest_configure(config: pytest.Config) -> None:
    for name in ("multi_device", "requires_trainable_backend"):
        config.addinivalue_line("markers", f"{name}: of Keras' own tests")
