"""Recipes: their numbers, the schedule that they make, and the command that takes one."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

import depthwise
from depthwise.cli import app
from depthwise.errors import InvalidArgumentError
from depthwise.training.recipes import RECIPES, Recipe, recipe

runner = CliRunner()


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("samples", [1, 47, 1000, 60_000])
def test_the_rate_rises_to_its_peak_and_falls_to_nothing(name: str, samples: int) -> None:
    chosen = recipe(name)
    steps = chosen.steps(samples)
    rate = chosen.optimizer(samples).description.learning_rate
    assert not isinstance(rate, float)
    rates = [rate(step) for step in range(steps)]
    assert max(rates) == pytest.approx(chosen.learning_rate)
    peak = rates.index(max(rates))
    assert peak == int(chosen.warm_up * steps)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rate(steps) == pytest.approx(0.0, abs=1e-12)
    assert all(value > 0 for value in rates)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_never_asks_for_more_than_one_pass(name: str) -> None:
    for samples in (48, 1000, 60_000):
        assert recipe(name).steps(samples) <= -(-samples // recipe(name).batch_size)


def test_unknown_recipes_are_named() -> None:
    with pytest.raises(InvalidArgumentError, match="no recipe is named 'slow'; there are fast"):
        recipe("slow")


def test_recipes_compare_by_what_they_say() -> None:
    assert Recipe(0.5, 32, 0.1, 0.2, 0.9) == Recipe(0.5, 32, 0.1, 0.2, 0.9)


def test_fast_learns_from_few_images_and_the_file_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the images: far from 99 %, but nothing that is broken gets as far."""
    import numpy as np

    (x_train, y_train), (x_test, y_test) = depthwise.datasets.mnist.load_data()
    np.savez(
        tmp_path / "part.npz",
        x_train=x_train[:6000],
        y_train=y_train[:6000],
        x_test=x_test[:1000],
        y_test=y_test[:1000],
    )
    monkeypatch.chdir(tmp_path)
    result = runner.invoke(app, ["train", "note-cnn", "--data", "part.npz", "--recipe", "fast", "--out", "model.keras"])
    assert result.exit_code == 0, result.output
    model = depthwise.models.load_model("model.keras")
    _, accuracy = model.evaluate(x_test[:1000, ..., None] / np.float32(255), y_test[:1000], verbose=0)
    assert accuracy > 0.88
    assert model.optimizer.beta_2 == RECIPES["fast"].beta_2


@pytest.mark.parametrize("option", ["--epochs=2", "--batch-size=5", "--optimizer=sgd", "--learning-rate=0.1"])
def test_a_recipe_is_all_or_nothing(option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = runner.invoke(app, ["train", "note-cnn", "--recipe", "fast", option])
    assert result.exit_code == 2
    assert f"--recipe says what {option.partition('=')[0]} is" in result.output
