"""The page behind the link in every mail: one click, no signing in (RFC 8058)."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
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
    if found is not None and request.method == "POST":
        user, topic = found
        unsubscribing.unsubscribe(user=user, topic=topic)
    context = {
        "kind": found and unsubscribing.TOPICS[found[1]],
        "is_known": found is not None,
        "is_done": found is not None and request.method == "POST",
    }
    status = 200 if found else 404
    response = pages.page(request, "django_pm/unsubscribe.html", context, policy=pages.UNSUBSCRIBE, status=status)
    response["Referrer-Policy"] = "no-referrer"  # the address is the credential
    return response
