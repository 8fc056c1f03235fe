"""The pages that people see, each with what their browser is to hold it to (Content Security Policy, level 3)."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

NOTHING_ELSE = "object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
# Scripts, styles and the document come from the site itself; small pictures stand in the style.
DOCS = (
    f"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; {NOTHING_ELSE}"
)
# Ours loads nothing. A site may put a template of its own in its place, which may load what the site serves.
UNSUBSCRIBE = f"default-src 'self'; img-src 'self' data:; form-action 'self'; {NOTHING_ELSE}"


def page(
    request: HttpRequest, template: str, context: dict[str, Any], *, policy: str, status: int = 200
) -> HttpResponse:
    """Render the template. A middleware of the site may put a policy of its own in the place of this one."""
    response = render(request, template, context, status=status)
    response["Content-Security-Policy"] = policy
    return response
