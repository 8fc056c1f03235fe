"""The system checks: what each says of a site where it applies, which tests/test_checks.py has one of for every id."""

from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

from django.core import checks
from django.core.checks import CheckMessage
from django.test import override_settings

import django_pm.checks
from scripts.reference import markdown
from tests import test_checks

LEVELS = {checks.ERROR: "error", checks.WARNING: "warning"}


def table() -> str:
    """A row for each id: its level, the message and the hint of an example."""
    found: dict[str, list[str]] = {}
    for settings, ids, deploying in cases():
        for message in said(settings, deploying):
            if message.id.removeprefix("django_pm.") in ids:
                level = LEVELS[message.level] + (" with `--deploy`" if deploying else "")
                cells = [f"`{message.id}`", level, markdown.cell(message.msg), markdown.cell(message.hint)]
                found.setdefault(message.id, cells)
    if missing := set(test_checks.ids_in_code()) - set(found):
        raise ValueError(f"tests/test_checks.py has no example of {', '.join(sorted(missing))}.")
    return markdown.table(["id", "level", "for example", "what to do"], [found[key] for key in sorted(found)])


def cases() -> Iterator[tuple[dict[str, Any], list[str], bool]]:
    """Settings, the ids that they cause, and whether only `check --deploy` tells."""
    for case in [*test_checks.WRONG, *test_checks.WITHOUT_EXTRAS]:
        yield case.values[0], case.values[1], False
    for case in test_checks.UNREADY:
        yield {"DJANGO_PM": {}, **case.values[0]}, case.values[1], True


def said(settings: dict[str, Any], deploying: bool) -> list[CheckMessage]:
    """What the checks say of a site with these settings, where no extra is installed."""
    with override_settings(**settings), patch.object(django_pm.checks, "find_spec", lambda name: None):
        return checks.run_checks(tags=["django_pm"], include_deployment_checks=deploying)
