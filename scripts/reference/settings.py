"""The keys of DJANGO_PM, as django_pm/conf.py declares them."""

import json

from django_pm.conf import declared
from scripts.reference import markdown


def table() -> str:
    """A row for each key: its name, type, default, and what it does."""
    rows = [
        [f"`{name}`", f"`{setting.kind.__name__}`", f"`{shown(setting.default)}`", markdown.cell(setting.help_text)]
        for name, setting in declared().items()
    ]
    return markdown.table(["key", "type", "default", "what it does"], rows)


def shown(default: object) -> str:
    """A default as one writes it in Python, with double quotes."""
    return str(default) if isinstance(default, bool) else json.dumps(default)
