"""The keys of DJANGO_PM, as django_pm/conf.py declares them."""

import json
from typing import Any

from django_pm.conf import Setting, declared
from scripts.reference import markdown


def table() -> str:
    """A row for each key: its name, type, default, and what it does."""
    rows = [
        [f"`{name}`", f"`{setting.kind.__name__}`", f"`{shown(setting.default)}`", markdown.cell(meaning(setting))]
        for name, setting in declared().items()
    ]
    return markdown.table(["key", "type", "default", "what it does"], rows)


def meaning(setting: Setting[Any]) -> str:
    """What a setting does; of a number, within which bounds."""
    if setting.kind is not int:
        return setting.help_text
    at_most = "or more" if setting.maximum is None else f"to {setting.maximum:,}"
    return f"{setting.help_text} A number, {setting.minimum:,} {at_most}."


def shown(default: object) -> str:
    """A default as one writes it in Python, with double quotes."""
    return str(default) if isinstance(default, bool) else json.dumps(default)
