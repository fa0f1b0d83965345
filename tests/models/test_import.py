"""`import depthwise` brings nothing heavy, and every public name exists."""

import subprocess
import sys
from pathlib import Path

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


def test_predictions_from_a_file_need_neither_data_sets_nor_onnx(tmp_path: Path) -> None:
    model = depthwise.Sequential([depthwise.layers.Dense(2, input_shape=(3,))])
    model.save(tmp_path / "model.keras")
    statement = (
        f"import depthwise; m = depthwise.load_model({str(tmp_path / 'model.keras')!r}); m.predict([[1.0, 2.0, 3.0]])\n"
        "print([name for name in sys.modules if name.startswith(('depthwise.data.formats.onnx.reading', "
        "'depthwise.data.mnist', 'depthwise.data.images'))])"
    )
    result = subprocess.run(
        [sys.executable, "-c", f"import sys; {statement}"], capture_output=True, text=True, check=True
    )
    assert result.stdout == "[]\n"


@pytest.mark.parametrize("name", depthwise.__all__)
def test_every_public_name_exists(name: str) -> None:
    assert getattr(depthwise, name) is not None
    assert name in dir(depthwise)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'depthwise' has no attribute 'Conv3D'"):
        depthwise.Conv3D  # noqa: B018
