"""Which domain is being asked, and what belongs to it from the moment it is made."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db.models.signals import post_save
from django.http import HttpRequest, HttpResponse

from django_pm.models import Project
from tests.shapes.tenants.models import Premises, Resident, Tenant

_domain: ContextVar[str | None] = ContextVar("domain", default=None)


def current_domain() -> str | None:
    """The domain that is being asked; None outside of requests: in a command, a worker, a socket."""
    return _domain.get()


@contextmanager
def at(domain: str) -> Iterator[None]:
    token = _domain.set(domain)
    try:
        yield
    finally:
        _domain.reset(token)


def domain_middleware(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """The first of all: whatever is asked inside of it is asked of one domain. `ALLOWED_HOSTS` says which there are."""

    def middleware(request: HttpRequest) -> HttpResponse:
        with at(request.get_host().partition(":")[0]):
            return get_response(request)

    return middleware


def _settle_user(instance: Any, created: bool, raw: bool, using: str, **kwargs: Any) -> None:
    if created and not raw:
        domain = current_domain() or settings.FIRST_DOMAIN
        tenant, _is_new = Tenant.objects.using(using).get_or_create(domain=domain)
        Resident.objects.using(using).create(user=instance, tenant=tenant)


def _settle_project(instance: Project, created: bool, raw: bool, using: str, **kwargs: Any) -> None:
    """In the transaction that makes the project, so that there is none that is nobody's."""
    resident = Resident.objects.using(using).filter(user=instance.created_by_id).first()
    if created and not raw and resident is not None:
        Premises.objects.using(using).create(project=instance, tenant_id=resident.tenant_id)


def connect() -> None:
    """Called once, when the app is ready."""
    post_save.connect(_settle_user, get_user_model(), dispatch_uid="tenants.user")
    post_save.connect(_settle_project, Project, dispatch_uid="tenants.project")
