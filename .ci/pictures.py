"""Makes the pictures of the documents, from the real page in Chromium: `docs/pictures/`.

    uv run --group test python .ci/pictures.py

Run it again after a change of what the page looks like, and commit what it writes. It needs Debian's `chromium`.
"""

import io
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from depthwise.networks import trained

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from support.page_links import GO  # noqa: E402 - the path is needed

FOLDER = ROOT / "docs" / "pictures"
SIZE = {"width": 1280, "height": 820}
SHOWN = (960, 615)
LAYER = "separable_conv2d"
STILLS = {
    "story": "#/story?language=en&theme=light&sample=7",
    "network": "#/network?language=en&theme=light&sample=7",
    "layer": f"#/layer/{LAYER}/9,16,4?language=en&theme=light&sample=7",
    "kernel": "#/kernel?language=en&theme=light&sample=7",
}
MOST_BYTES = 1_000_000
"""Of the moving picture, which every reader of the README loads."""


def shot(page: Page) -> Image.Image:
    data = page.screenshot(animations="disabled")
    return Image.open(io.BytesIO(data)).convert("RGB").resize(SHOWN, Image.Resampling.LANCZOS)


def frames(page: Page) -> list[tuple[Image.Image, int]]:
    """(picture, milliseconds): the network, then the window of a separable layer as it moves, then the kernel editor."""
    found = []
    page.evaluate(GO, STILLS["network"])
    found.append((shot(page), 2200))
    for row in (9, 14, 19):
        for column in range(8, 21, 3):
            page.evaluate(GO, f"#/layer/{LAYER}/{row},{column},4?language=en&theme=light&sample=7")
            found.append((shot(page), 450))
    page.evaluate(GO, STILLS["kernel"])
    found.append((shot(page), 2200))
    return found


def save_moving(found: list[tuple[Image.Image, int]], path: Path) -> None:
    pictures, times = zip(*found)
    options: dict[str, Any] = {"save_all": True, "append_images": pictures[1:], "duration": list(times), "loop": 0}
    for quality in (80, 70, 60, 50, 40):
        pictures[0].save(path, quality=quality, method=6, **options)
        if path.stat().st_size < MOST_BYTES:
            return
    sys.exit(f"{path} is larger than {MOST_BYTES} bytes; show fewer frames")


def main() -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("no Chromium is installed: apt-get install chromium")
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        file = Path(name, "page.html")
        trained("note-separable").explain().save(file)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE)  # type: ignore[arg-type]
        page.goto(file.as_uri() + STILLS["story"])
        for still, place in STILLS.items():
            page.evaluate(GO, place)
            shot(page).save(FOLDER / f"{still}.webp", quality=80, method=6)
        save_moving(frames(page), FOLDER / "page.webp")
        browser.close()
    for path in sorted(FOLDER.iterdir()):
        print(f"{path.name}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
