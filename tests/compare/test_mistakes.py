"""What a network got wrong: counted, pictured, and explained on a page of its own."""

import base64
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from depthwise.compare.folder import explaining_page_name, prepare_folder, write_folder
from depthwise.compare.mistakes import can_explain, find_mistakes
from depthwise.compare.report import Report
from depthwise.data import Dataset, load_data
from depthwise.models import Model
from depthwise.networks import trained
from support.made_up import light_graph, made_up

COUNT = 400


@pytest.fixture(scope="module")
def digits() -> Dataset:
    """Test images of which every third has a wrong label: a good network gets just those wrong."""
    data = load_data("mnist")
    labels = data.y_test[:COUNT].copy()
    labels[::3] = (labels[::3] + 1) % 10
    return replace(data, x_test=data.x_test[:COUNT], y_test=labels)


def test_every_wrong_answer_is_counted_and_the_surest_are_shown(digits: Dataset) -> None:
    model = trained("note-cnn")
    found = find_mistakes(model, digits)
    outputs = model.predict(digits.x_test.astype(np.float32) / 255, verbose=0)
    answers = outputs.argmax(axis=-1)
    assert found.count == np.count_nonzero(answers != digits.y_test) >= COUNT // 3
    counts = np.array(found.confusion)
    assert counts.sum() == COUNT
    assert counts[3, 2] == np.count_nonzero((digits.y_test == 3) & (answers == 2))
    assert np.trace(counts) == COUNT - found.count
    assert len(found.shown) == 12
    wrong = answers != digits.y_test
    assert found.shown[0].score == outputs.max(axis=-1)[wrong].max()
    assert [mistake.score for mistake in found.shown] == sorted((m.score for m in found.shown), reverse=True)
    for mistake in found.shown:
        assert (mistake.label, mistake.answer) == (digits.y_test[mistake.index], answers[mistake.index])
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(mistake.png))))
        np.testing.assert_array_equal(picture, digits.x_test[mistake.index, :, :, 0])


def test_pictures_of_fractions_are_counted_but_not_shown(digits: Dataset) -> None:
    """They would have to be rounded, and the page would explain another number."""
    found = find_mistakes(trained("note-cnn"), replace(digits.scaled(), y_test=digits.y_test))
    assert found.count >= COUNT // 3
    network = replace(made_up().networks[0], mistakes=found)
    assert not can_explain(network)


def test_the_folder_holds_a_page_with_the_pictures_that_its_links_name(digits: Dataset, tmp_path: Path) -> None:
    model, report = trained("note-cnn"), made_up()
    name = explaining_page_name("note-cnn.keras")
    own = replace(
        report.networks[0],
        graph=model.graph,
        files=("note-cnn.keras",),
        mistakes=find_mistakes(model, digits),
        page=name,
    )
    other = replace(report.networks[1], files=("heavy.keras",))
    models: list[list[Model]] = [[model], [Model.from_graph(other.graph)]]
    written = write_folder(tmp_path, replace(report, networks=(own, other)), models, "zh")
    assert sorted(written) == [name, "heavy.keras", "note-cnn.keras", "report.html", "report.json"]
    assert own.mistakes is not None
    page = (tmp_path / name).read_text(encoding="utf-8")
    facts = json.loads(page.split('id="depthwise-data">')[1].split("</script>")[0])
    links = re.findall(
        rf'href="{name}#/layer/dense_1/(\d)\?language=zh&amp;sample=(\d+)"', (tmp_path / "report.html").read_text()
    )
    assert links == [(str(mistake.answer), str(place)) for place, mistake in enumerate(own.mistakes.shown)]
    for sample, mistake in zip(facts["inputs"][0]["samples"], own.mistakes.shown, strict=True):
        pixels = np.frombuffer(base64.b64decode(sample["pixels"]), np.uint8)
        np.testing.assert_array_equal(pixels, digits.x_test[mistake.index].ravel())
        assert sample["label"] == str(mistake.label)
    prepare_folder(tmp_path, ["a.keras"], overwrite=True)
    write_folder(tmp_path, report_of_two(), [[], []], "en", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.json"]


def report_of_two() -> Report:
    report = made_up()
    first, second = (replace(network, files=()) for network in report.networks)
    return replace(report, networks=(first, second))


def test_a_class_without_a_name_goes_by_its_number() -> None:
    graph = light_graph()
    images = np.zeros((4, 8, 8, 1), np.uint8)
    labels = np.arange(4)
    data = Dataset("few", images, labels, images, labels, ("a", "b"))
    found = find_mistakes(Model.from_graph(graph), data)
    assert found.name(1) == "b"
    assert found.name(7) == "7"
    assert len(found.confusion) == 10
