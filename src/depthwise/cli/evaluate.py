"""`depthwise evaluate`: a trained network on labelled test images."""

import typer

from depthwise.cli.options import (
    DataName,
    Json,
    Language,
    ModelName,
    Scale,
    Seed,
    Shapes,
    SkipUnreadable,
    Threads,
    Untrained,
    chosen_language,
    load_dataset,
    open_named,
    refuse_alone,
    tell,
    use_threads,
)
from depthwise.cli.streams import print_json
from depthwise.messages import text

__all__ = ["evaluate_command", "register"]


def register(app: typer.Typer) -> None:
    """Adds the command `evaluate` to the application."""
    app.command("evaluate")(evaluate_command)


def evaluate_command(
    context: typer.Context,
    model: ModelName,
    data: DataName = "mnist",
    untrained: Untrained = False,
    seed: Seed = 1,
    threads: Threads = None,
    skip_unreadable: SkipUnreadable = False,
    scale: Scale = "auto",
    as_json: Json = False,
    shape: Shapes = None,
    language: Language = None,
) -> None:
    """Test a network: the share of test images that it classifies correctly, and its loss.

    Images get the scale that the network was trained on: see --scale. Classes go by their names where the network knows them, else
    by their order.

    Examples:

      depthwise evaluate model.keras

      depthwise evaluate keras_model.h5 --data photos/ --json
    """
    from depthwise.classification import check_classifier, class_loss, classes_of, listed, picture_shape, scaled_for
    from depthwise.compare.statistics import wilson_interval

    language = chosen_language(language)
    refuse_alone(context, seed="untrained")
    use_threads(threads)
    network, reading = open_named(model, untrained, seed, language, scale, shapes=shape)
    images = load_dataset(data, skip_unreadable, picture_shape(network.graph), reading.fit)
    images = classes_of(network.class_names, images)
    check_classifier(network.graph, images, "test it on data of its own classes")
    network.compile(loss=class_loss(network.graph), metrics=["accuracy"])
    x_test = scaled_for(network.graph, images.x_test, reading.scale)
    loss, accuracy = network.evaluate(x_test, images.y_test, verbose=0)
    tested = len(images.x_test)
    correct = round(float(accuracy) * tested)
    low, high = wilson_interval(correct, tested)
    if as_json:
        facts = {"model": network.name, "data": images.name, "loss": float(loss), "accuracy": correct / tested}
        facts |= {"correct": correct, "tested": tested, "interval": [low, high]}
        print_json(facts | {"class_names": list(network.class_names) or None, "scale": reading.scale})
        return
    shown = {"accuracy": f"{correct / tested:.2%}", "low": f"{low:.2%}", "high": f"{high:.2%}"}
    tell(text("command.accuracy", language, **shown, correct=correct, tested=tested))
    tell(text("command.loss", language, loss=f"{float(loss):.4f}"))
    if network.class_names:
        tell(text("command.classes", language, count=len(network.class_names), names=listed(network.class_names)))
