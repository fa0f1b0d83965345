"""A browser for the pages: Debian's Chromium, driven by Playwright."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, CDPSession, Page, Playwright, sync_playwright

from depthwise.explain.page import make_page
from depthwise.explain.samples import page_samples
from support.explained import network_and_weights
from support.page_links import GO
from support.programs_needed import missing

CHROMIUM = next((path for name in ("chromium", "chromium-browser") if (path := shutil.which(name))), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        missing("no Chromium is installed: apt-get install chromium")
    with sync_playwright() as playwright:
        yield from _launched(playwright)


def _launched(playwright: Playwright) -> Iterator[Browser]:
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The page of a network as a file, made once."""
    folder = tmp_path_factory.mktemp("pages")

    def make(name: str) -> Path:
        path = folder / f"{name}.html"
        if not path.exists():
            graph, weights = network_and_weights(name)
            samples, names, _ = page_samples(graph)
            page = make_page(graph, weights, samples=samples, class_names=names, with_times=name == "note-cnn")
            path.write_text(page.html, encoding="utf-8")
        return path

    return make


MOST_MILLISECONDS = 120_000
"""What a step may take on a machine that is busy with other work before it counts as failed."""


@dataclass
class Opened:
    """A page, and what it asked for and complained about since it was opened."""

    page: Page
    session: CDPSession | None = None
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def go(self, place: str) -> None:
        """Opens a place of the page by its deep link."""
        self.page.evaluate(GO, place)

    def milliseconds(self, *kinds: str) -> float:
        """Processor time that the page's thread has spent on "Task" (everything), "Script", "Layout", "RecalcStyle"."""
        assert self.session is not None
        metrics = {item["name"]: item["value"] for item in self.session.send("Performance.getMetrics")["metrics"]}
        return 1000 * sum(float(metrics[f"{kind}Duration"]) for kind in kinds)

    def run(self, script: str, argument: Any = None) -> Any:
        return self.page.evaluate(script, argument)

    def value(self, testid: str, index: int = 0) -> float:
        """The full number behind what an element shows."""
        element = self.page.get_by_test_id(testid).nth(index)
        return float(element.get_attribute("data-value") or element.inner_text())

    def values(self, testid: str) -> list[float]:
        element = self.page.get_by_test_id(testid)
        joined = element.get_attribute("data-values")
        if joined is not None:
            return [float(number) for number in joined.split(" ")]
        script = "all => all.map(element => Number(element.dataset.value))"
        numbers: list[float] = element.locator("[data-value]").evaluate_all(script)
        return numbers


@pytest.fixture
def opened(browser: Browser, page_file: Callable[[str], Path]) -> Iterator[Callable[..., Opened]]:
    """Opens the page of a network; afterwards it must not have complained, nor asked for anything but itself."""
    contexts = []
    pages: list[Opened] = []

    def open_page(name: str | Path, place: str = "", **options: Any) -> Opened:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        context.set_default_timeout(300_000)  # milliseconds: a busy machine is slow, not wrong
        contexts.append(context)
        result = Opened(context.new_page())
        result.page.set_default_timeout(MOST_MILLISECONDS)
        result.session = context.new_cdp_session(result.page)
        result.session.send("Performance.enable", {"timeDomain": "threadTicks"})
        pages.append(result)
        result.page.on("request", lambda request: result.requests.append(request.url))
        result.page.on("pageerror", lambda error: result.errors.append(str(error)))
        result.page.on(
            "console", lambda message: result.errors.append(message.text) if message.type == "error" else None
        )
        path = name if isinstance(name, Path) else page_file(name)
        result.page.goto(path.as_uri() + place)
        result.page.wait_for_selector("main:visible")
        return result

    yield open_page
    for result in pages:
        assert not result.errors
        asked = [url for url in result.requests if not url.startswith(("data:", "blob:"))]
        assert len(asked) == 1, asked
        assert asked[0].startswith("file:")
    for context in contexts:
        context.close()
