"""The report of a comparison in a browser: a reader changes its language and its colours, and the link says so."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from depthwise.compare.page import report_page
from support.made_up import made_up, with_mistakes


@pytest.fixture
def report_file(tmp_path: Path) -> Path:
    path = tmp_path / "report.html"
    path.write_text(report_page(with_mistakes(made_up()), "en"), encoding="utf-8")
    return path


LINK = "() => document.querySelector('main:not([hidden]) .mistakes a').getAttribute('href')"
PAPER = "() => getComputedStyle(document.body).backgroundColor"


def test_a_reader_changes_language_and_colours(opened: Callable[..., Any], report_file: Path) -> None:
    page = opened(report_file, "", color_scheme="light")
    light = page.run(PAPER)
    assert page.page.get_by_role("heading", name="light and heavy, side by side").is_visible()
    page.page.get_by_role("button", name="中文").click()
    assert page.page.get_by_role("heading", name="light 与 heavy 并排比较").is_visible()
    assert page.page.locator("main:visible").count() == 1
    assert page.run("() => [document.documentElement.lang, document.title]") == ["zh-Hans", "light 与 heavy 并排比较"]
    assert page.run("() => document.activeElement.textContent") == "中文", "the keyboard goes on where it was"
    assert page.run("() => location.hash") == "#?language=zh"
    theme = page.page.get_by_role("button", name="配色：跟随系统")
    theme.click()
    page.page.get_by_role("button", name="配色：浅色").click()
    assert page.page.get_by_role("button", name="配色：深色").is_visible()
    assert page.run("() => location.hash") == "#?language=zh&theme=dark"
    assert page.run(PAPER) != light
    assert page.run(LINK) == "explain-light.html#/layer/dense/1?language=zh&sample=0&theme=dark"
    page.page.keyboard.press("t")
    page.page.keyboard.press("l")
    assert page.run("() => location.hash") == "#?"
    assert page.run(PAPER) == light


def test_a_link_opens_in_its_language_and_colours(opened: Callable[..., Any], report_file: Path) -> None:
    page = opened(report_file, "#?language=zh&theme=dark", color_scheme="light")
    assert page.page.get_by_role("heading", name="light 与 heavy 并排比较").is_visible()
    dark = page.run(PAPER)
    page.run("() => { location.hash = '#?language=nonsense&theme=nonsense' }")
    page.page.get_by_role("heading", name="light and heavy, side by side").wait_for()
    assert page.run(PAPER) != dark


def test_without_scripts_the_report_is_whole(browser: Any, report_file: Path) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(report_file.as_uri())
        assert page.get_by_role("heading", name="light and heavy, side by side").is_visible()
        assert page.locator("main:visible").count() == 1
        assert page.get_by_role("button").count() == 0
