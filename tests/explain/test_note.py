"""`depthwise explain note`: every number of the note, each slip and open question, in both languages."""

import pytest
from rich.console import Console

from depthwise.explain.note import answers, examples
from depthwise.explain.note_terminal import note_facts, note_lines
from depthwise.explain.terminal import print_lines
from depthwise.messages import LANGUAGES

SLIPS = {
    "added", "output_channel", "fifty_four", "affine", "shape_formula", "dropped", "middle_map", "bias", "no_activation",
    "faster", "dense_head", "missing_layers", "first_layer", "not_smaller", "pictures",
}  # fmt: skip
"""What the design's last section lists, one each."""


def _text(language: str) -> str:
    console = Console(width=400, color_system=None)
    with console.capture() as capture:
        print_lines(console, list(note_lines(language)))
    return capture.get()


def test_the_five_examples_have_the_notes_numbers_but_for_its_one_slip() -> None:
    values = [[layer["value"] for layer in example["layers"]] for example in examples()]
    assert values == [[57], [320, 18_496, 36_928], [27], [1344], [2400]]
    wrong = [layer for example in examples() for layer in example["layers"] if layer["value"] != layer["printed"]]
    assert [(layer["value"], layer["printed"]) for layer in wrong] == [(57, 54)]


def test_every_slip_and_open_question_is_answered() -> None:
    assert {answer["key"].removeprefix("note.answer.") for answer in answers()} == SLIPS
    assert all(answer["quote"] for answer in answers())


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    "said",
    [
        "3×(3×3×2)+3 = 57", "2×(3×3×1) = 18", "3×(1×1×2)+3 = 9", "32×(3×3×1) = 288", "32×(1×1×32)+32 = 1,056",
        "64×(1×1×32)+64 = 2,112", "1+(5−3) = 3", "1+⌊(5−3)/2⌋ = 2", "1+(5−(2×2+1)) = 1", "1+⌊(11−2)/2⌋ = 5", "5×5×2",
        "3×3×3", "4,065,600", "29,275,904", "7.2", "148,874", "35,360", "286,432", "184,234", "435,306", "147,584", "1,290",
        "1,152", "Ŵ[i,j,c,n] = Σq D[i,j,c,q]·P[c·d+q,n]", "k²·Cout/(k²+Cout)", "3×3×2×3",
    ],
)  # fmt: skip
def test_the_text_says(language: str, said: str) -> None:
    assert said in _text(language)


def test_answers_are_computed() -> None:
    facts = {answer["key"].removeprefix("note.answer."): answer["facts"] for answer in answers()}
    assert facts["no_activation"]["rank"] == facts["no_activation"]["multiplier"] == 1
    assert (facts["first_layer"]["separable_rank"], facts["first_layer"]["ordinary_rank"]) == (1, 9)
    assert facts["bias"] == {"without": 24, "total": 27, "biases": 3}
    assert (facts["not_smaller"]["few"], facts["not_smaller"]["many"]) == (2, 7)
    added = facts["added"]
    assert int(added["first"]) + int(added["second"]) == int(added["sum"])
    assert int(added["sum"]) + int(added["bias"]) == int(added["before"])
    affine = facts["affine"]
    assert affine["zero"] == added["bias"]
    assert affine["output"] != affine["mirrored"]


def test_the_same_for_programs() -> None:
    facts = note_facts("zh")
    assert len(facts["examples"]) == 5
    assert len(facts["answers"]) == len(SLIPS)
    assert "57" in facts["answers"][2]["answer"]
