"""Who may see and do what: the one place that decides it, for every surface.

A policy answers three questions: which projects may this user see, may this user do this to that object, and which
of these users may see this project now. (It may answer the first one for many users at once.) Everything else is
derived here, so that REST, counts, search, sockets, cache, mail and export cannot disagree. A host names a policy of
its own in ``DJANGO_PM["POLICY"]``.

=========  ==============================================================================================
role       may
=========  ==============================================================================================
viewer     read everything in the project
member     and create, edit, delete tasks; comment; edit and delete own comments; have today's report made
manager    and edit and delete anybody's comments; edit project fields; add, change, remove viewers and members;
           have a report made anew; make, change, delete escalation rules
owner      and add, change, remove managers and owners; delete the project
=========  ==============================================================================================

Any signed-in user may create a project; everybody may leave one. Superusers may do everything, deactivated
users nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

from django.contrib import auth
from django.db import models
from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _

from django_pm.conf import imported
from django_pm.exceptions import NotAllowed
from django_pm.models import Comment, EscalationRule, Membership, Project, Report, Role, Task
from django_pm.models.among import among
from django_pm.models.base import ProjectObject
from django_pm.users import active_users, has_column

Verb = Literal["view", "add", "change", "delete"]
Q_ = TypeVar("Q_", bound="QuerySet[Any]")

REFUSALS: dict[Verb, Any] = {
    "view": _("You may not view this %(kind)s."),
    "add": _("You may not add this %(kind)s."),
    "change": _("You may not change this %(kind)s."),
    "delete": _("You may not delete this %(kind)s."),
}
"""A sentence for each verb: put together of words, it would be right in few languages."""


class Policy(Protocol):
    """What a host's own policy implements. Methods may query; they are asked again for every request and delivery."""

    def visible_projects(self, user: Any) -> QuerySet[Project]:
        """The projects that ``user`` may see. An unfiltered queryset means: all of them."""

    def may(self, user: Any, verb: Verb, obj: ProjectObject) -> bool:
        """Whether ``user`` may do ``verb`` to ``obj``.

        For ``"add"``, and for the state that a change would lead to, ``obj`` is an unsaved instance that carries
        what the decision needs: its project, a membership's role.
        """

    def who_sees(self, project_id: Any, user_ids: Iterable[Any]) -> set[Any]:
        """Those of ``user_ids`` (primary keys) who may see the project now, deactivated users excluded."""


class PolicyForMany(Policy, Protocol):
    """What a policy may answer besides, so that very many can be connected at once."""

    def visible_to_each(self, users: Collection[Any]) -> dict[Any, set[Any] | None]:
        """By user key, the keys of the projects that each of these active users sees; None for all of them.

        It must agree with ``visible_projects``. A subclass that overrides that one alone is asked user by user.
        """


@dataclass(frozen=True)
class Grant:
    """What the credentials that somebody came with allow of what the policy allows them; a token may allow less."""

    read_only: bool = False
    project_ids: frozenset[Any] | None = None
    """The only projects it is good for; None for all."""


def limit(user: Any, grant: Grant) -> None:
    """Hold this instance of a user, and so all that is asked for it, to ``grant``."""
    user.django_pm_grant = grant


def grant_of(user: Any) -> Grant:
    """What ``user`` was held to by ``limit``; everything, unless something."""
    grant: Grant = getattr(user, "django_pm_grant", None) or Grant()
    return grant


def policy() -> Policy:
    """The policy in force, made anew from the setting."""
    chosen: Policy = imported("POLICY")()
    return chosen


@dataclass(frozen=True)
class Sight:
    """What one user sees, as the policy and the credentials have said when they were asked.

    Several statements that have to agree with each other are narrowed by the same one: a policy that is asked anew may
    answer otherwise.
    """

    projects: QuerySet[Project]
    granted: frozenset[Any] | None

    @property
    def is_everything(self) -> bool:
        """Whether it is every project that there is, and every one to come."""
        return self.granted is None and _is_unrestricted(self.projects)

    def seen(self) -> QuerySet[Project]:
        """These projects, in whatever order; some may be there twice."""
        query = self.projects.query
        if self.granted is None and not (query.is_sliced or query.combinator):
            return self.projects
        return self.narrow(Project.objects.all())

    def narrow(self, rows: Q_) -> Q_:
        """``rows`` (of any model that lives in a project) narrowed to these projects."""
        model: type[ProjectObject] = rows.model
        if self.granted is not None:
            rows = rows.filter(**{f"{model.project_lookup}__in": self.granted})
        if _is_unrestricted(self.projects):
            return rows
        return rows.filter(**{f"{model.project_lookup}__in": self.projects.values("pk")})


def sight_of(user: Any) -> Sight:
    """What ``user`` sees now."""
    return Sight(policy().visible_projects(user), grant_of(user).project_ids)


def visible(user: Any, rows: Q_) -> Q_:
    """``rows`` (of any model that lives in a project) narrowed to the projects that ``user`` may see."""
    return sight_of(user).narrow(rows)


def sees_all(user: Any) -> bool:
    """Whether ``user`` sees every project that there is, and every one to come."""
    return sight_of(user).is_everything


def may(user: Any, verb: Verb, obj: ProjectObject) -> bool:
    """Whether the policy lets ``user`` do ``verb`` to ``obj`` (see ``Policy.may``), and the user's grant too."""
    grant = grant_of(user)
    if grant.read_only and verb != "view":
        return False
    if grant.project_ids is not None and obj.owning_project_id not in grant.project_ids:
        return False
    return policy().may(user, verb, obj)


def require(user: Any, verb: Verb, obj: ProjectObject) -> None:
    """Raise ``NotAllowed`` unless ``may(user, verb, obj)``."""
    if not may(user, verb, obj):
        raise NotAllowed(REFUSALS[verb] % {"kind": obj._meta.verbose_name})


def who_sees(project_id: Any, user_ids: Iterable[Any]) -> set[Any]:
    """Those of ``user_ids`` who may see the project now; nobody sees one that is gone."""
    if not Project.objects.filter(pk=project_id).exists():
        return set()
    return policy().who_sees(project_id, user_ids)


def sees(user: Any, project_id: Any) -> bool:
    """Whether one user may see one project now."""
    return bool(who_sees(project_id, [user.pk]))


def visible_to_each(user_ids: Iterable[Any]) -> dict[Any, set[Any] | None]:
    """The keys of the projects that each of these users sees now; None for all that there are.

    What credentials grant is not looked at. The number of statements is fixed if the policy can answer for many.
    """
    asked = set(user_ids)
    users = list(active_users().filter(among("pk", asked)))
    rule: Any = policy()
    if _answers_for_many(type(rule)):
        found = rule.visible_to_each(users)
    else:
        found = {user.pk: _keys(rule.visible_projects(user)) for user in users}
    return {pk: found.get(pk, set()) for pk in asked}


def _keys(projects: QuerySet[Project]) -> set[Any] | None:
    return None if _is_unrestricted(projects) else set(projects.order_by().values_list("pk", flat=True))


def _answers_for_many(rule: type) -> bool:
    """Whether what the class says of many users is not older than what it says of one."""

    def defined(name: str) -> int:
        return next((number for number, base in enumerate(rule.__mro__) if name in vars(base)), len(rule.__mro__))

    single = min(defined("visible_projects"), defined("projects_of"))
    return hasattr(rule, "visible_to_each") and defined("visible_to_each") <= single


def _is_unrestricted(projects: QuerySet[Project]) -> bool:
    query = projects.query
    narrowed = query.where or query.combinator or query.is_sliced or query.distinct_fields or query.is_empty()
    joined = len(query.alias_map) > 1
    return not (narrowed or joined) and projects.model._meta.concrete_model is Project


def _is_active(user: Any) -> bool:
    return bool(user.is_authenticated and getattr(user, "is_active", True))


def _is_superuser(user: Any) -> bool:
    return bool(getattr(user, "is_superuser", False))


class RolePolicy:
    """The default: members of a project see it, and their role says what they may do. See the module's table."""

    def visible_projects(self, user: Any) -> QuerySet[Project]:
        if not _is_active(user):
            return Project.objects.none()
        if _is_superuser(user):
            return Project.objects.all()
        return self.projects_of(user)

    def may(self, user: Any, verb: Verb, obj: ProjectObject) -> bool:
        if not _is_active(user):
            return False
        if _is_superuser(user) or (verb == "add" and isinstance(obj, Project)):
            return True
        role = self.role(user, obj.owning_project_id)
        if role is None:
            return False
        if verb == "delete" and isinstance(obj, Membership) and obj.user_id == user.pk:
            return True
        return role.rank >= self.required_role(user, verb, obj).rank

    def who_sees(self, project_id: Any, user_ids: Iterable[Any]) -> set[Any]:
        user_ids = set(user_ids)
        seeing = Q(pk__in=Membership.objects.filter(project=project_id, user__in=user_ids).values("user"))
        if has_column("is_superuser"):
            seeing |= Q(is_superuser=True)
        return set(active_users().filter(seeing, pk__in=user_ids).values_list("pk", flat=True))

    def projects_of(self, user: Any) -> QuerySet[Project]:
        """The projects that an ordinary ``user`` sees."""
        return Project.objects.filter(memberships__user=user.pk)

    def visible_to_each(self, users: Collection[Any]) -> dict[Any, set[Any] | None]:
        found: dict[Any, set[Any] | None] = {user.pk: None if _is_superuser(user) else set() for user in users}
        rows = Membership.objects.filter(among("user", found)).order_by()
        for user_id, project_id in rows.values_list("user", "project"):
            if (keys := found[user_id]) is not None:
                keys.add(project_id)
        return found

    def role(self, user: Any, project_id: Any) -> Role | None:
        """The role of ``user`` in the project, None without one."""
        role = Membership.objects.filter(project=project_id, user=user.pk).values_list("role", flat=True).first()
        return None if role is None else Role(role)

    def required_role(self, user: Any, verb: Verb, obj: ProjectObject) -> Role:
        """The least role that may do ``verb`` to ``obj``: the table of this module, as code."""
        if verb == "view":
            return Role.VIEWER
        if isinstance(obj, Task) or (isinstance(obj, Report) and verb == "add"):
            return Role.MEMBER
        if isinstance(obj, Comment):
            return Role.MEMBER if verb == "add" or obj.user_id == user.pk else Role.MANAGER
        if isinstance(obj, Membership):
            return Role.MANAGER if Role(obj.role).rank < Role.MANAGER.rank else Role.OWNER
        if isinstance(obj, EscalationRule):
            return Role.MANAGER
        return Role.OWNER if verb == "delete" else Role.MANAGER


class OpenPolicy(RolePolicy):
    """Every signed-in user is a member of every project; higher roles are still given by membership."""

    def projects_of(self, user: Any) -> QuerySet[Project]:
        return Project.objects.all()

    def role(self, user: Any, project_id: Any) -> Role | None:
        return max(super().role(user, project_id) or Role.MEMBER, Role.MEMBER, key=lambda role: role.rank)

    def who_sees(self, project_id: Any, user_ids: Iterable[Any]) -> set[Any]:
        return set(active_users().filter(pk__in=set(user_ids)).values_list("pk", flat=True))


class ModelPermissionPolicy:
    """Django's own model permissions decide, for all projects alike: ``django_pm.view_project``, ``add_task``, …

    ``view_project`` opens every project with all that is in it. For what lives in a project the others say what may
    be done to it; memberships are then only a list of people.
    """

    def visible_projects(self, user: Any) -> QuerySet[Project]:
        return Project.objects.all() if self._holds(user, "view", Project) else Project.objects.none()

    def may(self, user: Any, verb: Verb, obj: ProjectObject) -> bool:
        if verb == "add" and isinstance(obj, Project):
            return self._holds(user, verb, Project)
        return self._holds(user, "view", Project) and (verb == "view" or self._holds(user, verb, type(obj)))

    def who_sees(self, project_id: Any, user_ids: Iterable[Any]) -> set[Any]:
        return self._viewers(active_users().filter(pk__in=set(user_ids)))

    def visible_to_each(self, users: Collection[Any]) -> dict[Any, set[Any] | None]:
        viewers = self._viewers(active_users().filter(pk__in=[user.pk for user in users]))
        return {user.pk: None if user.pk in viewers else set() for user in users}

    def _viewers(self, users: QuerySet[Any]) -> set[Any]:
        """In one statement where Django's own backend decides alone; other backends are asked user by user."""
        # Not above: a host that has no model permissions need not have installed django.contrib.auth.
        from django.contrib.auth.backends import ModelBackend
        from django.contrib.auth.models import PermissionsMixin

        backends: list[Any] = auth.get_backends()
        asks_backends = getattr(users.model, "has_perm", None) is PermissionsMixin.has_perm
        if asks_backends and [type(backend) for backend in backends] == [ModelBackend]:
            allowed = backends[0].with_perm(f"{Project._meta.app_label}.view_{Project._meta.model_name}")
            return set(users.filter(pk__in=allowed.values("pk")).values_list("pk", flat=True))
        return {user.pk for user in users if self._holds(user, "view", Project)}

    @staticmethod
    def _holds(user: Any, verb: Verb, model: type[models.Model]) -> bool:
        return _is_active(user) and user.has_perm(f"{model._meta.app_label}.{verb}_{model._meta.model_name}")
