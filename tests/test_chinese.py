"""The Chinese of messages and documents: one word for one thing, the field's own, and punctuation as Chinese has it."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

INSTEAD = {
    "孪生": "对照（孪生网络是 Siamese network）",
    "本机(机器码|代码|调用|指令)": "原生",
    "捷径": "跳跃连接",
    "第[一二两三]段|两段": "第一步、第二步",
    "间距": "步距",
    "步长": "步幅",
    "空洞": "膨胀",
    "稠密": "全连接",
    "滤波器": "卷积核",
    "中间图": "中间特征图",
    "乘累加": "乘加",
    "(少|小|低)了? ?[\\d.{][^，。；]* ?倍": "只有……的 1/N",
    "(?<=[\\u4e00-\\u9fff])[,;:?!](?=[\\u4e00-\\u9fff])": "，；：？！",
}
"""What is not written, as a pattern, and what is."""


def texts() -> Iterator[tuple[str, str]]:
    """(where, Chinese text)."""
    for path in sorted((ROOT / "src" / "depthwise" / "messages").glob("*.toml")):
        for place, entry in leaves(tomllib.loads(path.read_text(encoding="utf-8"))):
            yield f"{path.name} {place}", entry
    for path in (ROOT / "README.zh.md", *sorted((ROOT / "docs").rglob("*.zh.md"))):
        inside = False
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
            inside ^= line.startswith("```")
            if not inside:
                yield f"{path.name}:{number}", line


def leaves(entry: object, place: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(entry, dict):
        for key, item in entry.items():
            if key == "zh":
                yield from ((place, text) for text in (item if isinstance(item, list) else [item]))
            else:
                yield from leaves(item, f"{place}.{key}".strip("."))


def wrong(text: str) -> list[str]:
    text = re.sub(r"--\w+ \S+", " ", text)  # what is typed
    return [f"{match[0]}: {use}" for pattern, use in INSTEAD.items() for match in re.finditer(pattern, text)]


def test_one_word_for_one_thing() -> None:
    assert [f"{place}: {found}" for place, text in texts() if (found := wrong(text))] == []


def test_every_message_is_read() -> None:
    places = [place for place, _ in texts()]
    assert sum("toml" in place for place in places) > 500
    assert sum("README" in place for place in places) > 100


def test_what_is_found() -> None:
    for text, count in (
        ("孪生网络的本机机器码，捷径", 3),
        ("步幅 2，膨胀率 1，第一步之后", 0),
        ("乘加次数少 7.2 倍", 1),
        ("乘加次数只有 1/7.2，小了一圈", 0),
        ("你好,世界", 1),
        ("用 --at 行,列,通道 看", 0),
        ("shape (2,3)：两个数", 0),
    ):
        assert len(wrong(text)) == count, text
