"""Who may see what: by role, within one tenant."""

from collections.abc import Iterable
from typing import Any

from django.db.models import QuerySet

from django_pm.access import RolePolicy, Verb
from django_pm.models import Project
from django_pm.models.base import ProjectObject
from tests.shapes.tenants.models import Resident
from tests.shapes.tenants.tenancy import current_domain


class TenantPolicy(RolePolicy):
    """As by role, but nobody sees a project of another tenant than their own, and at a domain only what belongs there.

    Sockets, mail and subscribers have no request, and so no domain: there the tenant that people belong to decides
    alone. Superusers are bound by it as well.
    """

    def visible_projects(self, user: Any) -> QuerySet[Project]:
        return super().visible_projects(user).filter(premises__tenant__in=self._home_of([user.pk]).values("tenant"))

    def may(self, user: Any, verb: Verb, obj: ProjectObject) -> bool:
        home = self._home_of([user.pk])
        if obj.owning_project_id is not None:
            home = home.filter(tenant__premises__project=obj.owning_project_id)
        return home.exists() and super().may(user, verb, obj)

    def who_sees(self, project_id: Any, user_ids: Iterable[Any]) -> set[Any]:
        at_home = self._home_of(super().who_sees(project_id, user_ids)).filter(tenant__premises__project=project_id)
        return set(at_home.values_list("user", flat=True))

    def _home_of(self, user_ids: Iterable[Any]) -> QuerySet[Resident]:
        """Those of these users who are at home where they ask."""
        residents = Resident.objects.filter(user__in=list(user_ids))
        return residents if (domain := current_domain()) is None else residents.filter(tenant__domain=domain)
