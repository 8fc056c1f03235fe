"""The example site in German and Arabic: its script has the words of its pages, and nothing runs over the edge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import PATIENCE, Watched
from tests.example.site import Site

SAID = {
    "de": ("Verbunden", "Ana Torres hat die Aufgabe Prune (12). in Orchard hinzugefügt"),
    "ar": ("متصل", "أضاف Ana Torres المهمة Prune (12). في Orchard"),
}


@pytest.fixture(params=SAID)
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[1100, 390])
def ben(request: pytest.FixtureRequest, language: str, chromium: Browser, watched: Watched, site: Site) -> Any:
    """A page of somebody whose browser asks for that language, signed in; on a desk and on a phone."""
    context = chromium.new_context(locale=language, viewport={"width": request.param, "height": 800})
    context.set_default_timeout(PATIENCE)
    context.on("page", watched.watch)
    page = context.new_page()
    page.goto(f"{site.url}/accounts/login/?next=/live/")
    page.locator("input[name=username]").fill("ben")
    page.locator("input[name=password]").fill("demo")
    page.locator("main button").click()
    yield page
    context.close()


def test_all_pages(project: Any, add_task: Callable[..., Any], ben: Page, language: str, site: Site) -> None:
    state, sentence = SAID[language]
    expect(ben.get_by_role("status")).to_have_text(state)
    add_task("Prune (12).")
    expect(ben.locator("#events .what")).to_have_text([sentence])
    for path in ("/live/", "/", "/mailbox/"):
        ben.goto(f"{site.url}{path}")
        assert ben.locator("html").get_attribute("lang") == language
        assert ben.locator("html").get_attribute("dir") == {"ar": "rtl"}.get(language)
        assert ben.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
