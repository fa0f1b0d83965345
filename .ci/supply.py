"""What Depthwise is delivered with: licences of its dependencies, a bill of materials, a wheel with the same bytes twice.

    uv run --extra onnx python .ci/supply.py licences [--update]
    uv run --extra onnx python .ci/supply.py sbom FILE
    uv run python .ci/supply.py wheel

The first compares docs/licences.md, and the notices of what the page contains, with the packages that are installed (`npm ci` in web/
first), and refuses licences that nobody has agreed to; the second
writes CycloneDX 1.6 in JSON; the third builds the wheel from two copies of the last commit.
"""

import argparse
import hashlib
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "licences.md"
WEB = ROOT / "web"
NOTICES = ROOT / "src" / "depthwise" / "explain" / "page" / "LICENCES.txt"
"""Those of the libraries that the page contains go wherever the page goes."""

PROJECT, EXTRA = "depthwise", "onnx"
ALLOWED = {
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "ISC",
    "LLVM-exception",
    "MIT",
    "MIT-CMU",
    "MPL-2.0",
    "PSF-2.0",
    "Zlib",
}
"""Licences, by SPDX, under which a dependency may be used and passed on without conditions on Depthwise itself."""

NAMES = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "ISC License": "ISC",
    "MIT License": "MIT",
}
"""SPDX of what packages write that do not use it yet."""

OTHER_SYSTEMS = {"colorama": "BSD-3-Clause"}
"""Dependencies on Windows only, which is not where this runs."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("licences").add_argument("--update", action="store_true", help="write docs/licences.md")
    commands.add_parser("sbom").add_argument("file", type=Path)
    commands.add_parser("wheel")
    arguments = parser.parse_args()
    if arguments.command == "licences":
        check_licences(arguments.update)
    elif arguments.command == "sbom":
        arguments.file.write_text(json.dumps(bill(packages()), indent=1) + "\n", encoding="utf-8")
    else:
        check_wheel()


def packages() -> dict[str, importlib.metadata.Distribution]:
    """Depthwise and all that it needs, with its extra, by normalised name."""
    found: dict[str, importlib.metadata.Distribution] = {}
    open_ones = [PROJECT, EXTRA]
    while open_ones:
        name = normalised(open_ones.pop())
        if name in found or name in OTHER_SYSTEMS:
            continue
        try:
            found[name] = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            sys.exit(f"{name} is not installed: use `uv run --extra onnx`")
        open_ones += needs(found[name])
    return dict(sorted(found.items()))


def needs(package: importlib.metadata.Distribution) -> list[str]:
    """What a package requires here, extras aside; requirements for older Pythons and other systems are among them where installed."""
    needed = []
    for requirement in package.requires or []:
        if "extra ==" not in requirement:
            name = normalised(re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0])
            if ";" not in requirement or is_installed(name) or name in OTHER_SYSTEMS:
                needed.append(name)
    return needed


def is_installed(name: str) -> bool:
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def licence(package: importlib.metadata.Distribution) -> str:
    """The licence by SPDX, as far as the package says it: the expression, the short text, else the classifiers."""
    data = package.metadata
    said = data["License-Expression"] or ""
    if not said and len(data["License"] or "") < 60:
        said = data["License"] or ""
    if not said:
        classifiers = [
            item.rpartition(" :: ")[2] for item in data.get_all("Classifier") or [] if item.startswith("License ::")
        ]
        said = " AND ".join(sorted(set(classifiers)))
    return NAMES.get(re.sub(r" \(.*\)$", "", said), said)


def bundled() -> dict[str, dict[str, Any]]:
    """What is in the built page, by name: its dependencies, and Svelte, which compiles it and leaves its own code there."""
    entries = json.loads((WEB / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    names = {path.removeprefix("node_modules/"): entry for path, entry in entries.items() if path}
    return {name: entry for name, entry in sorted(names.items()) if name == "svelte" or not entry.get("dev")}


def notices() -> str:
    """Their licences in full; needs `npm ci` in web/."""
    parts = []
    for name, entry in bundled().items():
        texts = sorted((WEB / "node_modules" / name).glob("LICENSE*"))
        if not texts:
            sys.exit(f"the licence of {name} is missing: run `npm ci` in web/")
        parts.append(f"{name} {entry['version']}\n\n{texts[0].read_text(encoding='utf-8').strip()}\n")
    return f"\n{'-' * 80}\n\n".join(parts)


def check_licences(update: bool) -> None:
    found = {name: licence(package) for name, package in packages().items() if name != PROJECT} | OTHER_SYSTEMS
    inside = {name: entry["license"] for name, entry in bundled().items()}
    words = {name: set(re.split(r" (?:AND|OR|WITH) |[() ]+", said)) - {""} for name, said in (found | inside).items()}
    refused = {name: said for name, said in words.items() if not said or not said <= ALLOWED}
    if refused:
        sys.exit(f"licences that .ci/supply.py does not allow: {refused}")
    tables = ["".join(f"| {name} | {text} |\n" for name, text in sorted(group.items())) for group in (found, inside)]
    text = (
        "# Licences\n\nDepthwise is under the MIT licence. These are the licences of the packages that it needs, with the extra `onnx`, "
        "as they state\nthem; `.ci/supply.py` writes this document, and `.ci/run` compares it.\n\n"
        f"| package | licence |\n|---|---|\n{tables[0]}\n"
        "The page that `depthwise explain` writes contains parts of these libraries, whose notices are in\n"
        f"`explain/page/LICENCES.txt`:\n\n| library | licence |\n|---|---|\n{tables[1]}\n"
        "MNIST, which the package ships, has a [notice of its own](../src/depthwise/data/MNIST-ATTRIBUTION.md).\n"
    )
    for path, content in ((DOCUMENT, text), (NOTICES, notices())):
        if update:
            path.write_text(content, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != content:
            sys.exit(
                f"{path.relative_to(ROOT)} is not current: run uv run --extra onnx python .ci/supply.py licences --update"
            )


def bill(found: dict[str, importlib.metadata.Distribution]) -> dict[str, Any]:
    """The bill of materials in CycloneDX 1.6: the same packages give the same text."""
    references = {name: f"pkg:pypi/{name}@{package.version}" for name, package in found.items()}
    components = {
        name: {
            "type": "library",
            "bom-ref": references[name],
            "name": name,
            "version": package.version,
            "purl": references[name],
            "licenses": [{"expression": licence(package)}],
        }
        for name, package in found.items()
    }
    project = components.pop(PROJECT)
    for name, entry in bundled().items():
        place = f"pkg:npm/{name}@{entry['version']}"
        licences = [{"expression": entry["license"]}]
        components[place] = {
            "type": "library",
            "bom-ref": place,
            "name": name,
            "version": entry["version"],
            "purl": place,
        }
        components[place]["licenses"] = licences
    number = uuid.uuid5(uuid.NAMESPACE_URL, "\n".join(references.values()))
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{number}",
        "version": 1,
        "metadata": {"component": project},
        "components": list(components.values()),
        "dependencies": [
            {
                "ref": references[name],
                "dependsOn": sorted(references[need] for need in set(needs(package)) if need in references),
            }
            for name, package in found.items()
        ],
    }


def check_wheel() -> None:
    """Builds the wheel from two copies with other times, modes and places of the files."""
    when = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()
    hashes = []
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True).stdout
        for name, mask in (("one", 0o022), ("a longer name", 0o077)):
            place = Path(folder) / name
            place.mkdir()
            subprocess.run(
                ["tar", "-x"], cwd=place, input=archive, check=True, preexec_fn=lambda mask=mask: os.umask(mask)
            )
            for path in place.rglob("*"):
                os.utime(path, (10**9 + mask, 10**9 + mask))
            environment = os.environ | {"SOURCE_DATE_EPOCH": when}
            subprocess.run(
                ["uv", "build", "--quiet", "--wheel", "--out-dir", str(place / "out")],
                cwd=place,
                check=True,
                env=environment,
            )
            (wheel,) = (place / "out").glob("*.whl")
            hashes.append(hashlib.sha256(wheel.read_bytes()).hexdigest())
    if len(set(hashes)) != 1:
        sys.exit(f"two builds of the same commit differ: {hashes}")
    print(f"{wheel.name} {hashes[0]}, twice")


if __name__ == "__main__":
    main()
