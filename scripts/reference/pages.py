"""Which page holds which part, and putting it there."""

import re
from collections.abc import Callable
from pathlib import Path

from scripts.reference import checks, commands, endpoints, events, names, settings

DOCS = Path(__file__).resolve().parents[2] / "docs"

PARTS: dict[str, dict[str, Callable[[], str]]] = {
    "settings.md": {"settings": settings.table, "checks": checks.table},
    "events.md": {"event types": events.table},
    "reference/commands.md": {"commands": commands.sections},
    "reference/endpoints.md": {"endpoints": endpoints.tables},
    "reference/python.md": {"names": names.sections},
}

PAGES = [DOCS / name for name in PARTS]


def written(page: Path) -> str:
    """The text of ``page`` as it ought to be. Raises ``ValueError`` if it has no place for a part of it."""
    text = page.read_text(encoding="utf-8")
    for name, part in PARTS[page.relative_to(DOCS).as_posix()].items():
        place = re.compile(rf"(<!-- from the code: {name} -->\n).*?(\n<!-- end -->)", re.DOTALL)
        if not place.search(text):
            raise ValueError(f"{page} has no place for {name!r}.")
        body = part()
        text = place.sub(lambda match, body=body: f"{match[1]}\n{body}\n{match[2]}", text)
    return text
