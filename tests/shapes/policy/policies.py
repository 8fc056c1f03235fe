"""Who may see and do what on this site."""

from collections.abc import Collection, Iterable
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import QuerySet

from django_pm.access import RolePolicy
from django_pm.models import Project, Role

AUDITORS = "auditors"
"""The group whose members read every project."""


class AuditPolicy(RolePolicy):
    """By role; auditors are viewers of everything, unless their role in a project says more.

    Who sees a project is said three times, for the three ways in which it is asked: for one user, for those who might
    hear of one project, and for many users at once. All agree because all ask for the same group.
    """

    def projects_of(self, user: Any) -> QuerySet[Project]:
        return Project.objects.all() if self._auditors([user.pk]) else super().projects_of(user)

    def who_sees(self, project_id: Any, user_ids: Iterable[Any]) -> set[Any]:
        user_ids = set(user_ids)
        return super().who_sees(project_id, user_ids) | self._auditors(user_ids)

    def visible_to_each(self, users: Collection[Any]) -> dict[Any, set[Any] | None]:
        auditors = self._auditors([user.pk for user in users])
        return {key: None if key in auditors else seen for key, seen in super().visible_to_each(users).items()}

    def role(self, user: Any, project_id: Any) -> Role | None:
        return super().role(user, project_id) or (Role.VIEWER if self._auditors([user.pk]) else None)

    def _auditors(self, user_ids: Iterable[Any]) -> set[Any]:
        """The keys of those among these users who are auditors, and active."""
        people = get_user_model()._default_manager.filter(pk__in=list(user_ids), is_active=True, groups__name=AUDITORS)
        return set(people.values_list("pk", flat=True))
