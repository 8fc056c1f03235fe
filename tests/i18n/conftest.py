"""A made-up language: whatever passes through Django's translation comes out between brackets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
from django.utils import translation
from django.utils.safestring import SafeData, mark_safe
from django.utils.translation import trans_real

from django_pm.services import reminders
from tests.mail.conftest import sink

__all__ = ["sink"]

OPEN, CLOSE = "⟦", "⟧"
SHOWN_ATTRIBUTES = {"title", "alt", "placeholder", "aria-label"}
NO_TEXT = {"script", "style"}
WORD = re.compile(r"[^\W\d_]{2,}")
KEY = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
DATA = re.compile("[\u0370-\u03ff]")
"""What people write is Greek in these tests, so that it is told from what the software says."""


@pytest.fixture(autouse=True)
def _each_test_ends_in_the_language_it_began_with() -> Iterator[None]:
    """A request through the middleware leaves its language to the thread, and so to other tests."""
    with translation.override(translation.get_language()):
        yield


def _between_brackets(translate: Callable[..., str]) -> Callable[..., str]:
    def translated(*args: Any) -> str:
        text = translate(*args)
        if not text:
            return text
        between = f"{OPEN}{text}{CLOSE}"
        return mark_safe(between) if isinstance(text, SafeData) else between  # noqa: S308

    return translated


@pytest.fixture
def between_brackets(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every translated text stands between brackets."""
    for name in ("gettext", "ngettext", "pgettext", "npgettext"):
        monkeypatch.setattr(translation._trans, name, _between_brackets(getattr(trans_real, name)), raising=False)
    reminders.phrases_in.cache_clear()
    yield
    reminders.phrases_in.cache_clear()


def untranslated(text: str, *data: str) -> list[str]:
    """The words of `text` that stand outside the brackets and are not among `data`."""
    depth, outside = 0, []
    for character in text:
        depth += (character == OPEN) - (character == CLOSE)
        if not depth and character != CLOSE:
            outside.append(character)
        elif depth and outside[-1:] != [" "]:
            outside.append(" ")
    assert depth == 0, "The brackets do not match."
    left = KEY.sub(" ", "".join(outside))
    for known in sorted(data, key=len, reverse=True):
        left = left.replace(known, " ")
    return [word for word in WORD.findall(left) if not DATA.search(word)]


def in_json(value: Any) -> Iterator[str]:
    """The texts of an answer, without the names of its fields."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from in_json(each)
    elif isinstance(value, str):
        yield value


def shown(html: str) -> str:
    """What a page shows, or reads out."""
    page = _Page()
    page.feed(html)
    page.close()
    return " ".join(page.texts)


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._inside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        shows = SHOWN_ATTRIBUTES | ({"value"} if found.get("type") in {"submit", "button", "reset"} else set())
        self.texts += [value for name, value in attrs if name in shows and value]
        if tag in NO_TEXT:
            self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._inside[-1:] == [tag]:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        if not self._inside:
            self.texts.append(data)
