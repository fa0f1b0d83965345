"""Which test images a network gets wrong, and what it takes them for."""

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from depthwise.classification import gives_probabilities, has_channels_first, scaled_for
from depthwise.compare.report import Mistake, Mistakes, NetworkResult
from depthwise.data.dataset import Dataset
from depthwise.explain.page import MOST_SAMPLES, Sample, make_page
from depthwise.models import Model

__all__ = ["MOST_CLASSES", "can_explain", "explaining_page", "find_mistakes"]

MOST_CLASSES = 20
"""A table of every class against every class is kept up to this many."""


def find_mistakes(model: Model, data: Dataset) -> Mistakes:
    """Every test image that gets its highest output for another class; the surest ones with their pictures.

    >>> from depthwise.networks import note_cnn
    >>> pixels = np.zeros((3, 28, 28, 1), np.uint8)
    >>> labels = np.array([0, 1, 2])
    >>> data = Dataset("black", pixels, labels, pixels, labels, tuple("0123456789"))
    >>> found = find_mistakes(note_cnn(), data)
    >>> found.count, len(found.shown), found.confusion[2][0]  # without a bias all scores are equal, and the first counts
    (2, 2, 1)
    """
    outputs = model.predict(scaled_for(model.graph, data.x_test), verbose=0)
    answers = np.argmax(outputs, axis=-1)
    scores = np.nan_to_num(outputs[np.arange(len(outputs)), answers], nan=-np.inf)
    wrong = np.flatnonzero(answers != data.y_test)
    surest = wrong[np.argsort(-scores[wrong], kind="stable")][:MOST_SAMPLES]
    classes = outputs.shape[-1]
    confusion: tuple[tuple[int, ...], ...] = ()
    if classes <= MOST_CLASSES:
        counts = np.zeros((classes, classes), np.int64)
        np.add.at(counts, (data.y_test, answers), 1)
        confusion = tuple(tuple(int(number) for number in row) for row in counts)
    return Mistakes(
        count=len(wrong),
        class_names=tuple(data.class_names),
        confusion=confusion,
        gives_shares=gives_probabilities(model.graph),
        shown=tuple(
            Mistake(int(i), int(data.y_test[i]), int(answers[i]), float(scores[i]), _png(data.x_test[i]))
            for i in surest
        ),
    )


def _png(image: NDArray[np.generic]) -> str:
    """An image of bytes, grey or in colours, as a PNG in base64; "" for any other array."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3):
        return ""
    file = io.BytesIO()
    Image.fromarray(np.asarray(image[:, :, 0] if image.shape[2] == 1 else image, np.uint8)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode("ascii")


def can_explain(network: NetworkResult) -> bool:
    """Whether it got pictures wrong that a page can show; pages show pictures with their channels last."""
    if network.mistakes is None or has_channels_first(network.graph):
        return False
    return any(mistake.png for mistake in network.mistakes.shown)


def explaining_page(model: Model, mistakes: Mistakes) -> str:
    """The page of `depthwise explain` whose pictures to choose from are the mistakes, in their order."""
    samples = []
    for mistake in mistakes.shown:
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(mistake.png))))
        samples.append(Sample(pixels.reshape(model.graph.input_shapes[0]), mistakes.name(mistake.label)))
    return make_page(
        model.graph, model.weights_by_name, samples=samples, class_names=mistakes.class_names, with_times=False
    ).html
