"""`import depthwise` brings nothing heavy, and every public name exists."""

import subprocess
import sys

import pytest

import depthwise

HEAVY = ["numpy", "llvmlite", "h5py", "PIL", "rich", "typer", "pooch", "keras", "jax", "importlib.metadata"]


def loaded_after(statement: str) -> list[str]:
    program = f"import sys; {statement}; print(' '.join(name for name in {HEAVY} if name in sys.modules))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return result.stdout.split()


def test_import_brings_nothing_heavy() -> None:
    assert loaded_after("import depthwise") == []


def test_describing_a_model_needs_numpy_alone() -> None:
    statement = (
        "import depthwise; m = depthwise.Sequential([depthwise.layers.Conv2D(3, 3, input_shape=(5, 5, 2))]); "
        "m.get_weights(); m.count_params()"
    )
    assert loaded_after(statement) == ["numpy"]


@pytest.mark.parametrize("name", depthwise.__all__)
def test_every_public_name_exists(name: str) -> None:
    assert getattr(depthwise, name) is not None
    assert name in dir(depthwise)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'depthwise' has no attribute 'Conv3D'"):
        depthwise.Conv3D  # noqa: B018
