"""`depthwise evaluate`: a trained network on labelled test images."""

import typer

from depthwise.cli.options import (
    DataName,
    Json,
    ModelName,
    Scale,
    Seed,
    SkipUnreadable,
    Threads,
    Untrained,
    load_dataset,
    open_named,
    use_threads,
)
from depthwise.cli.streams import print_json

__all__ = ["evaluate_command", "register"]


def register(app: typer.Typer) -> None:
    """Adds the command `evaluate` to the application."""
    app.command("evaluate")(evaluate_command)


def evaluate_command(
    model: ModelName,
    data: DataName = "mnist",
    untrained: Untrained = False,
    seed: Seed = 1,
    threads: Threads = None,
    skip_unreadable: SkipUnreadable = False,
    scale: Scale = "auto",
    as_json: Json = False,
) -> None:
    """Test a network: the share of test images that it classifies rightly, and its loss.

    Images get the scale that `depthwise train` gave them: 0 to 1, or 0 to 255 for a network that starts with Rescaling;
    --scale says otherwise.

    Examples:

      depthwise evaluate model.keras

      depthwise evaluate model.keras --data photos/ --json
    """
    from depthwise.classification import check_classifier, class_loss, scaled_for
    from depthwise.compare.statistics import wilson_interval

    use_threads(threads)
    network, _ = open_named(model, untrained, seed)
    images = load_dataset(data, skip_unreadable, network.graph.input_shapes[0])
    check_classifier(network.graph, images)
    network.compile(loss=class_loss(network.graph), metrics=["accuracy"])
    loss, accuracy = network.evaluate(scaled_for(network.graph, images.x_test, scale), images.y_test, verbose=0)
    tested = len(images.x_test)
    correct = round(float(accuracy) * tested)
    low, high = wilson_interval(correct, tested)
    if as_json:
        facts = {"model": network.name, "data": images.name, "loss": float(loss), "accuracy": correct / tested}
        print_json(facts | {"correct": correct, "tested": tested, "interval": [low, high]})
        return
    print(f"test accuracy  {correct / tested:.2%} ({correct:,} of {tested:,}; 95 % interval {low:.2%} to {high:.2%})")
    print(f"test loss      {float(loss):.4f}")
