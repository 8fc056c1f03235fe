"""docs/grafana-dashboard.json asks for what /metrics tells, with the labels that it has, and for all of it.

That the table which this compares with is what is really exported, test_metrics.py shows.
"""

import json
import re
from typing import Any

import pytest

from tests.example.site import ROOT

PANELS: list[dict[str, Any]] = json.loads((ROOT / "docs" / "grafana-dashboard.json").read_text())["panels"]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel.get("targets", ())]
HISTOGRAM = re.compile(r"_(?:bucket|count|sum)$")

ROWS = re.findall(
    r"^\| `(django_pm_\w+)` \| (.*?) ?\| (.+) \|$", (ROOT / "docs" / "monitoring.md").read_text(), re.MULTILINE
)
LABELS = {name: set(re.findall(r"`(\w+)`", labels)) for name, labels, _what in ROWS}
HISTOGRAMS = {name for name, _labels, what in ROWS if what.startswith("histogram")}


def asked(expression: str) -> list[str]:
    """The metrics of an expression, without what a histogram appends."""
    found = re.findall(r"django_pm_\w+", expression)
    assert found, expression
    return [HISTOGRAM.sub("", name) if HISTOGRAM.sub("", name) in HISTOGRAMS else name for name in found]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_it_asks_for_what_is_exported(expression: str) -> None:
    for name in asked(expression):
        assert name in LABELS
        by = {label for labels in re.findall(r"by \(([^)]*)\)", expression) for label in labels.split(", ")}
        assert by <= LABELS[name] | ({"le"} if name in HISTOGRAMS else set())
    for name in re.findall(r"django_pm_\w+", expression):
        assert (name in HISTOGRAMS) is False, "of a histogram there are only buckets, count and sum"


def test_it_leaves_nothing_out() -> None:
    assert {name for expression in EXPRESSIONS for name in asked(expression)} == set(LABELS)


def test_legends_name_labels_that_are_there() -> None:
    for panel in PANELS:
        for target in panel.get("targets", ()):
            named = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            assert named <= LABELS[asked(target["expr"])[0]], panel["title"]


def test_no_panel_lies_on_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        place = panel["gridPos"]
        fields = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert place["x"] + place["w"] <= 24
        assert not fields & taken, panel["title"]
        taken |= fields
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
