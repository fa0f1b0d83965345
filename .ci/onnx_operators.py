#!/usr/bin/env python3
"""docs/onnx-operators.md: what of the `onnx` package's backend suite is right, and what is refused with which reason.

.ci/onnx_operators.py            compares the document with what is found
.ci/onnx_operators.py --update   writes it
"""

import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "onnx-operators.md"
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

HEAD = """# ONNX operators

Written by `.ci/onnx_operators.py --update` from the backend suite of the `onnx` package {version}: every case is computed and compared with
the suite's own tolerance. None is wrong. A case that needs something that Depthwise does not do is refused, and the sentence names the
operator.

| part of the suite | cases | right | refused |
|---|---:|---:|---:|
"""


def outcome(reason: str) -> str:
    """A refusal without names of nodes and sizes, so that equal ones are counted together."""
    reason = re.sub(r"^the model:? ?", "", reason)
    found = re.match(r"the operator (\w+) is not supported as the node .* uses it: (.*)", reason)
    text = found.group(2) if found else re.sub(r"the (input|output|tensor) '[^']*'", r"an \1", reason)
    return re.sub(r"(?<![a-z\d])\d[\d,]*(?![\d=])", "…", re.sub(r"'[^']*'|\([^)]*\)", "…", text))


def main() -> int:
    import onnx

    from depthwise.data.formats.onnx.reading.opening import RULES
    from support.onnx_suite import Case, files_of, judge, operator_cases

    parts: dict[str, Iterable[Case]] = {
        "single operators": operator_cases(),
        "converted from PyTorch": files_of("pytorch-converted"),
        "operators of PyTorch": files_of("pytorch-operator"),
    }
    lines = [HEAD.format(version=".".join(onnx.__version__.split(".")[:2]))]
    reasons: Counter[str] = Counter()
    operators: dict[str, set[str]] = defaultdict(set)
    right: Counter[str] = Counter()
    for name, cases in parts.items():
        found: Counter[bool] = Counter()
        for case in cases:
            reason = judge(case)
            found[not reason] += 1
            kinds = {node.op_type for node in case.model.graph.node}
            if not reason:
                right.update(kinds)
            else:
                reasons[outcome(reason)] += 1
                named = re.search(r"the operator '?(?!set )(\w+)", reason)
                operators[outcome(reason)].update([named.group(1)] if named else kinds if len(kinds) == 1 else [])
        lines.append(f"| {name} | {found.total():,} | {found[True]:,} | {found[False]:,} |\n")
    lines.append("\n## Operators that are read\n\n" + ", ".join(sorted({*RULES} & {*right})) + ".\n")
    lines.append("\nOthers that ONNX defines by these are read as what they stand for: ")
    lines.append(", ".join(sorted({*right} - {*RULES})) + ".\n")
    lines.append("\n## Why cases are refused\n\n| cases | reason | operators |\n|---:|---|---|\n")
    for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0])):
        lines.append(f"| {count} | {reason} | {', '.join(sorted(operators[reason]))} |\n")
    text = "".join(lines)
    if "--update" in sys.argv:
        DOCUMENT.write_text(text, encoding="utf-8")
        return 0
    if DOCUMENT.read_text(encoding="utf-8") != text:
        print("docs/onnx-operators.md is not what is found: run .ci/onnx_operators.py --update")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
