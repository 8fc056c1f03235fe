"""``/healthz``, ``/readyz`` and ``/metrics``, for machines: nobody signs in, and nothing secret is told to nobody.

None has a transaction around it, which would begin by asking for the database that may be what is wrong.
"""

from __future__ import annotations

import secrets
from importlib.util import find_spec

from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from django_pm.conf import app_settings
from django_pm.health import readiness
from django_pm.services.transactions import without_transaction

SCHEME = "Bearer "


@without_transaction
@require_safe
@never_cache
@login_not_required
def alive(request: HttpRequest) -> HttpResponse:
    """200 as long as this process answers. It asks nothing of anybody."""
    return HttpResponse("alive\n", content_type="text/plain; charset=utf-8")


@without_transaction
@require_safe
@never_cache
@login_not_required
def ready(request: HttpRequest) -> HttpResponse:
    """200 if this process can do its work, even if slower than usual; else 503."""
    found = readiness.look()
    return JsonResponse({"status": found.status, "components": found.components}, status=found.code)


@without_transaction
@require_safe
@never_cache
@login_not_required
def metrics(request: HttpRequest) -> HttpResponse:
    """For whoever shows ``METRICS_TOKEN``. Without one, or without the extra, there is no such page."""
    token = app_settings.METRICS_TOKEN
    if not token or not find_spec("prometheus_client"):
        raise Http404
    shown = request.headers.get("Authorization", "")
    if not secrets.compare_digest(shown.encode(), (SCHEME + token).encode()):
        return HttpResponse(status=401, headers={"WWW-Authenticate": SCHEME.strip()})
    from django_pm.health import exposition

    return HttpResponse(exposition.page(), content_type=exposition.CONTENT_TYPE)
