"""A report as people read it: the names behind its keys, its times as times, its trend as the bars of a chart."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from typing import Any

from django.contrib.auth import get_user_model
from django.db import models

from django_pm import users
from django_pm.models import Priority, Report, Status

CHART_WIDTH, CHART_HEIGHT = 504, 96
"""In the units of the drawing."""


def readable(reports: Collection[Report]) -> dict[Any, dict[str, Any]]:
    """By the key of the report, what its templates show besides the report itself; the names are read at once."""
    keys = {row[name] for report in reports for name, row in _named(report.data)}
    named = get_user_model()._default_manager.filter(pk__in=keys - {None})
    names = {_key(user.pk): users.display_name(user) for user in named}
    return {report.pk: _page(report.data, names) for report in reports}


def _named(data: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The rows of a report that name a user, and in which column."""
    return [("user", row) for row in data["by_assignee"]] + [("assignee", row) for row in data["due_next"]]


def _key(pk: Any) -> Any:
    """A user's key as reports hold it."""
    return pk if isinstance(pk, int) else str(pk)


def _page(data: dict[str, Any], names: dict[Any, str]) -> dict[str, Any]:
    return {
        "day": {**data["day"], "date": dt.date.fromisoformat(data["day"]["date"])},
        "tasks": data["tasks"],
        "by_status": _labelled(data["by_status"], Status),
        "by_priority": _labelled(data["by_priority"], Priority),
        "by_assignee": [{**row, "name": names.get(row["user"], "")} for row in data["by_assignee"]],
        "due_next": [
            {**row, "name": names.get(row["assignee"], ""), "due_date": dt.datetime.fromisoformat(row["due_date"])}
            for row in data["due_next"]
        ],
        "most_active": data["most_active"],
        "chart": chart(data["trend"]),
    }


def _labelled(counts: dict[str, int], choices: type[models.TextChoices]) -> list[tuple[Any, int]]:
    return [(choices(value).label, count) for value, count in counts.items() if count]


def chart(trend: list[dict[str, Any]]) -> dict[str, Any]:
    """Two bars for each day, created and completed, as whole numbers for an SVG; and what they come to."""
    highest = max([1, *(day[name] for day in trend for name in ("created", "completed"))])
    step = CHART_WIDTH // max(1, len(trend))
    days = []
    for number, day in enumerate(trend):
        bars = [
            {"name": name, "x": number * step + offset, "height": round(CHART_HEIGHT * day[name] / highest)}
            for name, offset in (("created", step // 6), ("completed", step // 2))
        ]
        for bar in bars:
            bar["y"] = CHART_HEIGHT - bar["height"]
        days.append({**day, "date": dt.date.fromisoformat(day["date"]), "x": number * step, "bars": bars})
    return {
        "days": days,
        "created": sum(day["created"] for day in trend),
        "completed": sum(day["completed"] for day in trend),
        "is_complete": all(day["complete"] for day in trend),
        "width": CHART_WIDTH,
        "height": CHART_HEIGHT,
        "bar": step // 3,
    }
