"""`depthwise train`: a network trained on labelled images and saved."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from depthwise.cli.check import ONNX, check_onnx
from depthwise.cli.options import (
    BatchSize,
    DataName,
    Language,
    ModelName,
    Scale,
    Shapes,
    SkipUnreadable,
    Threads,
    chosen_language,
    is_given,
    load_dataset,
    open_named,
    refuse_alone,
    tell,
    use_threads,
)
from depthwise.cli.targets import check_target_file, save_or_rescue
from depthwise.dataclass import dataclass
from depthwise.errors import InvalidArgumentError, UnsupportedError, describe_value
from depthwise.messages import text

if TYPE_CHECKING:
    from depthwise.data.dataset import Dataset
    from depthwise.pictures import Reading

__all__ = ["register", "train_command"]

INTERRUPTED = 130
HEAD_EPOCHS, HEAD_BATCH_SIZE = 20, 32
"""By default for a new head: it is small, and so are the data sets that one makes oneself."""


def register(app: typer.Typer) -> None:
    """Adds the command `train` to the application."""
    app.command("train")(train_command)


@dataclass(frozen=True)
class _Plan:
    """How to train: what the options say."""

    epochs: int
    batch_size: int
    steps: int | None
    optimizer: Any
    fine_tune: int


def train_command(
    context: typer.Context,
    model: ModelName,
    data: DataName = "mnist",
    epochs: Annotated[int, typer.Option(help=f"Passes over the training data [{HEAD_EPOCHS} with --head-only].")] = 5,
    batch_size: BatchSize = 128,
    head_only: Annotated[
        bool,
        typer.Option(
            "--head-only",
            help="Give the network a new head for the classes of the data and train that alone: the rest of it is run once for each "
            f"image, not once for each epoch. Batches of {HEAD_BATCH_SIZE}.",
        ),
    ] = False,
    fine_tune: Annotated[
        int,
        typer.Option(
            "--fine-tune",
            help="After --head-only so many passes of the whole network, at a hundredth of the rate.",
            min=0,
        ),
    ] = 0,
    new_head: Annotated[
        bool,
        typer.Option("--new-head", help="Give the network a new head for the classes of the data, and train it all."),
    ] = False,
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
            help="The file to write: .keras or .onnx; by default the network's name with .keras. One that is there already is refused.",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it is there.")] = False,
    seed: Annotated[int, typer.Option(help="New weights and the order of the images follow from it.")] = 1,
    threads: Threads = None,
    skip_unreadable: SkipUnreadable = False,
    scale: Scale = "auto",
    shape: Shapes = None,
    language: Language = None,
) -> None:
    """Train a network on images and save it as a .keras file, which Keras loads too.

    A network's name starts from new weights, unless it gets a new head; a file continues with its own. After each epoch the network is
    tested. Ctrl-C stops, and saves what was learnt until then. The names of the classes and the scale of the images are saved too.

    Examples:

      depthwise train note-separable --epochs 5

      depthwise train note-cnn --recipe fast

      depthwise train keras_model.h5 --data photos/ --head-only --fine-tune 3

      depthwise train note-cnn --optimizer sgd --learning-rate 0.05 --batch-size 64 --seed 7
    """
    from depthwise.classification import picture_shape
    from depthwise.networks import NETWORKS
    from depthwise.seeds import set_random_seed

    language = chosen_language(language)
    _check_options(context, epochs, recipe, head_only, new_head)
    set_random_seed(seed)
    use_threads(threads)
    optimizer_made = _optimizer(optimizer, learning_rate)
    path = Path(f"{Path(model).stem}.keras") if out is None else out
    check_target_file(path, overwrite, "--out", (".keras", ONNX))
    if path.name.endswith(ONNX):
        check_onnx(None)
    is_new = model in NETWORKS and not (head_only or new_head)
    network, reading = open_named(model, is_new, seed, language, scale, "command.starts_new", shape)
    images = load_dataset(data, skip_unreadable, picture_shape(network.graph), reading.fit)
    network, images = _fitted(network, images, reading, head_only, new_head)
    _check_keeps(network, path)
    tell(_opening(images, reading, language))
    if head_only:
        epochs = epochs if is_given(context, "epochs") else HEAD_EPOCHS
        batch_size = batch_size if is_given(context, "batch_size") else HEAD_BATCH_SIZE
    plan = _Plan(epochs, batch_size, None, optimizer_made, fine_tune)
    interrupted = False
    try:
        if head_only:
            _train_head(network, images, reading, plan, language)
        else:
            _train(network, images, reading, plan if recipe is None else _of_recipe(recipe, len(images.x_train)))
    except KeyboardInterrupt:
        interrupted = True
    # A file that appeared during the training is not replaced either.
    place, failure = save_or_rescue(path, lambda place: _write(network, place, overwrite))
    tell(text("command.stopped" if interrupted else "command.saved", language, path=str(place)))
    if failure is not None:
        raise failure
    if interrupted:
        raise typer.Exit(INTERRUPTED)


def _check_keeps(network: Any, path: Path) -> None:
    """Whether the file can hold the network: before the training, not after it.

    Raises:
        UnsupportedError: Keras does not have all of its layers.
    """
    from depthwise.layers.tensors import is_foreign

    foreign = [call.layer for call in network.graph.calls if is_foreign(call.layer)]
    if foreign and not path.name.endswith(ONNX):
        raise UnsupportedError(
            f"{foreign[0].label} comes from an ONNX file and is no layer of Keras, so {describe_value(path.name)} cannot hold it; give "
            "--out a name that ends in .onnx"
        )


def _write(network: Any, place: Path, overwrite: bool) -> None:
    if place.name.endswith(ONNX):
        network.export(place, verbose=False, overwrite=overwrite)
    else:
        network.save(place, overwrite=overwrite)


def _check_options(context: typer.Context, epochs: int, recipe: str | None, head_only: bool, new_head: bool) -> None:
    from depthwise.training.recipes import recipe as recipe_of

    if epochs < 1:
        raise InvalidArgumentError(f"--epochs must be at least 1, got {epochs}")
    refuse_alone(context, fine_tune="head_only")
    if head_only and new_head:
        raise InvalidArgumentError(
            "--head-only trains the new head alone, --new-head the whole network; give one of the two"
        )
    if recipe is None:
        return
    recipe_of(recipe)
    if head_only:
        raise InvalidArgumentError("--recipe is for training a whole network; leave it or --head-only out")
    for name in ("epochs", "batch_size", "optimizer", "learning_rate"):
        if is_given(context, name):
            raise InvalidArgumentError(f"--recipe says what --{name.replace('_', '-')} is; give one of the two")


def _optimizer(name: str, learning_rate: float | None) -> Any:
    from depthwise import optimizers

    description: Any = optimizers.get(name)
    if learning_rate is not None:
        description.learning_rate = learning_rate
    return description


def _of_recipe(name: str, samples: int) -> _Plan:
    from depthwise.training.recipes import recipe

    chosen = recipe(name)
    return _Plan(1, min(chosen.batch_size, samples), chosen.steps(samples), chosen.optimizer(samples), 0)


def _fitted(
    network: Any, images: "Dataset", reading: "Reading", head_only: bool, new_head: bool
) -> "tuple[Any, Dataset]":
    """The network for the classes of the data, which it knows from now on, and the data with its numbers of them."""
    from depthwise import transfer
    from depthwise.classification import check_classifier, classes_of
    from depthwise.usage import Usage

    if head_only or new_head:
        network = transfer.new_head(network, images.class_names)
    images = classes_of(network.class_names, images)
    check_classifier(
        network.graph,
        images,
        "give --head-only to train a new head for them, or --new-head for a new head and the whole network",
    )
    fitting = Usage(images.class_names).names_for(network.graph.output_shapes)
    network.use(Usage(fitting, None if reading.scale == "none" else reading.scale, reading.fit))
    return network, images


def _opening(images: "Dataset", reading: "Reading", language: str) -> str:
    """What will be trained on."""
    from depthwise.classification import listed

    height, width, channels = images.image_shape
    return text(
        "command.training",
        language,
        data=images.name,
        training=len(images.x_train),
        test=len(images.x_test),
        size=f"{height}×{width}×{channels}",
        scale=reading.scale,
        count=len(images.class_names),
        names=listed(images.class_names),
    )


def _train(network: Any, images: "Dataset", reading: "Reading", plan: _Plan) -> None:
    from depthwise.classification import class_loss, scaled_for
    from depthwise.training.not_finite import TerminateOnNaN

    x_train, x_test = (scaled_for(network.graph, part, reading.scale) for part in (images.x_train, images.x_test))
    network.compile(plan.optimizer, class_loss(network.graph), metrics=["accuracy"])
    network.fit(
        x_train,
        images.y_train,
        batch_size=plan.batch_size,
        epochs=plan.epochs,
        steps_per_epoch=plan.steps,
        validation_data=(x_test, images.y_test),
        callbacks=TerminateOnNaN(),  # good weights are saved, whatever happens
    )


def _train_head(network: Any, images: "Dataset", reading: "Reading", plan: _Plan, language: str) -> None:
    """Runs the body once for each image, trains the head on what it gives, and fine-tunes the whole where that is wanted."""
    from depthwise import transfer
    from depthwise.classification import class_loss, listed, scaled_for, white_of
    from depthwise.progress import ProgressBar
    from depthwise.training.not_finite import TerminateOnNaN

    graph = network.graph

    def batches(x: Any, y: Any) -> Any:
        white = white_of(x)
        for start in range(0, len(x), transfer.CHUNK):
            part = slice(start, start + transfer.CHUNK)
            yield scaled_for(graph, x[part], reading.scale, white), y[part]

    body, head = transfer.split(network)
    count = len(images.x_train) + len(images.x_test)
    tell(text("command.head", language, layers=listed([layer.name for layer in head.layers]), count=count))
    with (
        ProgressBar(count, text("command.body", language), "counts") as bar,
        transfer.features(body, batches(images.x_train, images.y_train), observe=bar.show) as (x_train, y_train),
        transfer.features(
            body, batches(images.x_test, images.y_test), observe=lambda done: bar.show(len(x_train) + done)
        ) as (x_test, y_test),
    ):
        bar.close()
        head.compile(plan.optimizer, class_loss(graph), metrics=["accuracy"])
        head.fit(
            x_train,
            y_train,
            plan.batch_size,
            plan.epochs,
            validation_data=(x_test, y_test),
            callbacks=TerminateOnNaN(),
        )
    if plan.fine_tune:
        tell(text("command.fine_tuning", language))
        x_train, x_test = (scaled_for(graph, part, reading.scale) for part in (images.x_train, images.x_test))
        transfer.fine_tuned(
            network,
            x_train,
            images.y_train,
            rate=transfer.FINE_TUNING * float(head.optimizer.learning_rate),
            epochs=plan.fine_tune,
            batch_size=plan.batch_size,
            loss=class_loss(graph),
            validation_data=(x_test, images.y_test),
            callbacks=TerminateOnNaN(),
        )
