"""Python's collector is off while a model is built, and afterwards as it was."""

import gc

import pytest

from depthwise.collection import without_collections


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_as_it_was(enabled: bool) -> None:
    seen = []

    @without_collections()
    def build(parts: int) -> int:
        seen.append(gc.isenabled())
        if not parts:
            raise ValueError("no parts")
        return parts

    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        assert build(3) == 3
        assert gc.isenabled() == enabled
        with pytest.raises(ValueError, match="no parts"):
            build(0)
        assert gc.isenabled() == enabled
    finally:
        (gc.enable if before else gc.disable)()
    assert seen == [False, False]
