"""`depthwise train`: a network trained on labelled images and saved."""

from pathlib import Path
from typing import Annotated

import typer

from depthwise.cli.options import (
    BatchSize,
    DataName,
    ModelName,
    Scale,
    SkipUnreadable,
    Threads,
    load_dataset,
    use_threads,
)
from depthwise.cli.targets import check_target_file, save_or_rescue
from depthwise.errors import InvalidArgumentError

__all__ = ["register", "train_command"]

INTERRUPTED = 130


def register(app: typer.Typer) -> None:
    """Adds the command `train` to the application."""
    app.command("train")(train_command)


def train_command(
    context: typer.Context,
    model: ModelName,
    data: DataName = "mnist",
    epochs: Annotated[int, typer.Option(help="Passes over the training data.")] = 5,
    batch_size: BatchSize = 128,
    optimizer: Annotated[
        str, typer.Option(help="sgd, adam, adamw, rmsprop or another of Keras' optimizers.", metavar="NAME")
    ] = "adam",
    learning_rate: Annotated[
        float | None, typer.Option(help="By default the optimizer's own.", show_default=False)
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="fast: less than one pass with small batches and a rate that rises and falls; brings note-cnn to 99 % on mnist. "
            "Instead of epochs, batch size, optimizer and learning rate.",
            metavar="NAME",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="The file to write; by default the network's name with .keras. One that is there already is refused.",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it is there.")] = False,
    seed: Annotated[int, typer.Option(help="New weights and the order of the images follow from it.")] = 1,
    threads: Threads = None,
    skip_unreadable: SkipUnreadable = False,
    scale: Scale = "auto",
) -> None:
    """Train a network on images and save it as a .keras file, which Keras loads too.

    A network's name starts from new weights; a .keras file continues with its own. After each epoch the
    network is tested. Ctrl-C stops, and saves what was learnt until then.

    Examples:

      depthwise train note-separable --epochs 5

      depthwise train note-cnn --recipe fast

      depthwise train model.keras --data photos/ --out better.keras

      depthwise train note-cnn --optimizer sgd --learning-rate 0.05 --batch-size 64 --seed 7
    """
    from typing import Any

    from depthwise import optimizers
    from depthwise.classification import check_classifier, class_loss, scaled_for
    from depthwise.networks import NETWORKS, open_model
    from depthwise.seeds import set_random_seed
    from depthwise.training.not_finite import TerminateOnNaN
    from depthwise.training.recipes import recipe as recipe_of

    if epochs < 1:
        raise InvalidArgumentError(f"--epochs must be at least 1, got {epochs}")
    chosen = None if recipe is None else recipe_of(recipe)
    if chosen is not None:
        _refuse_beside_recipe(context)
    set_random_seed(seed)
    use_threads(threads)
    description: Any = optimizers.get(optimizer)
    if learning_rate is not None:
        description.learning_rate = learning_rate
    network, _ = open_model(model, untrained=model in NETWORKS)
    path = Path(f"{Path(model).stem}.keras") if out is None else out
    check_target_file(path, overwrite, "--out", ".keras")
    images = load_dataset(data, skip_unreadable, network.graph.input_shapes[0])
    check_classifier(network.graph, images)
    steps = None
    if chosen is not None:
        samples = len(images.x_train)
        epochs, batch_size, steps = 1, min(chosen.batch_size, samples), chosen.steps(samples)
        description = chosen.optimizer(samples)
    network.compile(description, class_loss(network.graph), metrics=["accuracy"])
    interrupted = False
    try:
        network.fit(
            scaled_for(network.graph, images.x_train, scale),
            images.y_train,
            batch_size=batch_size,
            epochs=epochs,
            steps_per_epoch=steps,
            validation_data=(scaled_for(network.graph, images.x_test, scale), images.y_test),
            callbacks=TerminateOnNaN(),  # good weights are saved, whatever happens
        )
    except KeyboardInterrupt:
        interrupted = True
    # A file that appeared during the training is not replaced either.
    place, failure = save_or_rescue(path, lambda place: network.save(place, overwrite=overwrite))
    print(f"{'stopped; what was learnt until then is' if interrupted else 'saved'} in {place}")
    if failure is not None:
        raise failure
    if interrupted:
        raise typer.Exit(INTERRUPTED)


def _refuse_beside_recipe(context: typer.Context) -> None:
    """A recipe is all or nothing."""
    for name in ("epochs", "batch_size", "optimizer", "learning_rate"):
        source = context.get_parameter_source(name)
        if source is not None and source.name != "DEFAULT":
            raise InvalidArgumentError(f"--recipe says what --{name.replace('_', '-')} is; give one of the two")
