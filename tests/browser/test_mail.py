"""A report as mail programs show it: nothing runs over the edge, whatever people have written."""

import datetime as dt
from types import SimpleNamespace
from typing import Any

import pytest
from django.template.loader import render_to_string
from django.utils import translation
from playwright.sync_api import Page

from django_pm.services.report_pages import chart

DATE = dt.date(2031, 5, 4)
LONG = {
    "plain": "Book the tent",
    "many words": "compare the three offers " * 10,
    "one word": "W" * 250,
    "an address": "https://example.com/" + "a" * 230,
    "from right to left": "شراء الكراسي من السوق القديم " * 8,
}


def rendered(text: str, language: str) -> str:
    """The HTML of a report in which all that people have written is `text`."""
    day = {"date": DATE.isoformat(), "created": 3, "completed": 1, "comments": 2, "complete": False}
    context: dict[str, Any] = {
        "report": SimpleNamespace(date=DATE, time_zone="America/Argentina/ComodRivadavia", note=text),
        "project": SimpleNamespace(name=text, time_zone=text),
        "recipient_name": text,
        "unsubscribe_url": "https://pm.example.com/notifications/unsubscribe/" + "x" * 150,
        "day": {**day, "date": DATE},
        "tasks": {"total": 10**6, "open": 10**6, "completed": 10**6, "overdue": 10**6},
        "by_status": [("In progress", 10**6)] * 3,
        "by_priority": [("Medium", 10**6)] * 5,
        "by_assignee": [{"user": 1, "name": text, "open": 10**6, "overdue": 10**6}],
        "due_next": [{"title": text, "name": text, "due_date": dt.datetime(2031, 5, 4, tzinfo=dt.UTC)}],
        "most_active": [{"title": text, "events": 10**6}],
        "chart": chart([day] * 14),
    }
    with translation.override(language):
        return render_to_string("django_pm/mail/report.html", context)


@pytest.mark.parametrize("language", ["en", "de", "ar"])
@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
@pytest.mark.parametrize("width", [360, 600])
def test_nothing_runs_over_the_edge(page: Page, width: int, text: str, language: str) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.set_content(rendered(text, language))
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    outside = """() => [...document.querySelectorAll("body > div *")].filter((each) => {
        const box = document.querySelector("body > div").getBoundingClientRect();
        const mine = each.getBoundingClientRect();
        return mine.width && (mine.left < box.left || mine.right > box.right + 0.5);
    }).map((each) => each.outerHTML.slice(0, 100))"""
    assert page.evaluate(outside) == []


def test_the_bars_are_drawn(page: Page) -> None:
    page.set_viewport_size({"width": 600, "height": 800})
    page.set_content(rendered("Dig", "en"))
    box = page.locator("svg").bounding_box()
    assert box is not None
    assert box["width"] > 400
    bars = page.locator("svg rect:not([fill=none])")
    heights = [bars.nth(number).bounding_box()["height"] for number in (0, 1)]  # type: ignore[index]
    assert heights[0] == pytest.approx(3 * heights[1], rel=0.05)
