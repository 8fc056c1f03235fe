"""The page behind the link in every mail: one click, no signing in (RFC 8058)."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils import translation
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from django_pm.api import pages
from django_pm.services import unsubscribing


@csrf_exempt  # a mail program posts here; the token says who, and what is ended may be begun again
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """GET asks, POST does it: programs that look at every link in a mail must not unsubscribe anybody."""
    found = unsubscribing.read_token(token)
    if found is None:
        return _page(request, {"is_known": False}, status=404)
    user, topic = found
    if request.method == "POST":
        unsubscribing.unsubscribe(user=user, topic=topic)
    context = {"kind": unsubscribing.TOPICS[topic], "is_known": True, "is_done": request.method == "POST"}
    with translation.override(unsubscribing.language_for(user)):
        return _page(request, context)


def _page(request: HttpRequest, context: dict[str, Any], *, status: int = 200) -> HttpResponse:
    response = pages.page(request, "django_pm/unsubscribe.html", context, policy=pages.UNSUBSCRIBE, status=status)
    response["Content-Language"] = translation.get_language() or ""  # Django's middleware keeps what is there
    response["Referrer-Policy"] = "no-referrer"  # the address is the credential
    return response
