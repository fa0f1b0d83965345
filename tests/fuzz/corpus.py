"""The corpus in the repository: for each reader a zip of files that once reached new code, or that once failed."""

import zipfile
from pathlib import Path

__all__ = ["FAILED", "FOLDER", "store", "stored"]

FOLDER = Path(__file__).with_name("corpus")
FAILED = "failed-"
"""The names of files begin so that a reader once failed at; each stays for ever."""


def stored(name: str) -> dict[str, bytes]:
    """The files kept for a reader, by name."""
    path = FOLDER / f"{name}.zip"
    if not path.exists():
        return {}
    with zipfile.ZipFile(path) as archive:
        return {member: archive.read(member) for member in sorted(archive.namelist())}


def store(name: str, files: dict[str, bytes]) -> None:
    """Replaces the files kept for a reader; the same files give the same bytes."""
    FOLDER.mkdir(exist_ok=True)
    with zipfile.ZipFile(FOLDER / f"{name}.zip", "w", zipfile.ZIP_LZMA) as archive:
        for member, content in sorted(files.items()):
            info = zipfile.ZipInfo(member)
            info.compress_type = zipfile.ZIP_LZMA
            archive.writestr(info, content)
