"""Makes the objects that tests start from, for any user model of the host: keys and login names are never assumed."""

import datetime as dt
import itertools
from collections.abc import Mapping
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.utils import timezone
from model_bakery import baker

from django_pm.models import ApiToken, Comment, EscalationRule, Membership, Project, Role, Task

PASSWORD = "correct horse"

_numbers = itertools.count(1)


def login_name(name: str) -> str:
    """What somebody called `name` types to sign in: an address where the host's users have no user name."""
    return f"{name}@example.org" if get_user_model().USERNAME_FIELD == "email" else name


def make_user(name: str | None = None, **fields: Any) -> Any:
    """A user who signs in with `login_name(name)` and `PASSWORD`."""
    user_model = get_user_model()
    login = login_name(name or f"user{next(_numbers)}")
    return baker.make(user_model, **{user_model.USERNAME_FIELD: login, "password": make_password(PASSWORD), **fields})


def make_superuser(name: str | None = None, **fields: Any) -> Any:
    """A user who may do everything."""
    return make_user(name, is_superuser=True, is_staff=True, **fields)


def make_project(owner: Any = None, members: Mapping[Any, str] | None = None, **fields: Any) -> Project:
    """A project with its owner (somebody new if none is given) and further members, as `{user: role}`."""
    owner = owner or make_user()
    project: Project = baker.make(Project, **{"name": "Moon base", "created_by": owner, **fields})
    make_member(project, owner, Role.OWNER)
    for user, role in (members or {}).items():
        make_member(project, user, role)
    return project


def make_member(project: Project, user: Any = None, role: str = Role.MEMBER) -> Membership:
    """Somebody's role in a project."""
    membership: Membership = baker.make(Membership, project=project, user=user or make_user(), role=role)
    return membership


def make_task(project: Project | None = None, **fields: Any) -> Task:
    """A pending task, due in a week. `created_at` and `updated_at` may be given too, though the model sets them."""
    stamps = {name: fields.pop(name) for name in ("created_at", "updated_at") if name in fields}
    defaults = {"title": "Dig", "due_date": timezone.now() + dt.timedelta(days=7)}
    task: Task = baker.make(Task, project=project or make_project(), **{**defaults, **fields})
    if stamps:
        Task.objects.filter(pk=task.pk).update(**{"updated_at": task.updated_at, **stamps})
        task.refresh_from_db()
    return task


def make_comment(task: Task | None = None, user: Any = None, **fields: Any) -> Comment:
    """A comment; by `user` if one is given, else by somebody without an account."""
    author = user.get_username() if user else "A passer-by"
    defaults = {"author": author, "content": "Deeper."}
    comment: Comment = baker.make(Comment, task=task or make_task(), user=user, **{**defaults, **fields})
    return comment


def make_rule(project: Project, **fields: Any) -> EscalationRule:
    """An escalation rule that notifies managers of what has been overdue for a day, unless `fields` say otherwise."""
    looks_for = {} if "condition" in fields else {"condition": "overdue", "hours": 24}
    does = {} if "action" in fields else {"action": "notify", "role": "manager"}
    rule: EscalationRule = EscalationRule.objects.create(
        project=project, **{"name": "Left lying", **looks_for, **does, **fields}
    )
    return rule


def make_token(user: Any = None, projects: list[Project] | None = None, **fields: Any) -> ApiToken:
    """An API token that may write, with its `secret`; limited to `projects` if they are given."""
    fields = {"name": "script", "scope": "write", **fields}
    token = ApiToken(user=user or make_user(), every_project=projects is None, **fields)
    token.renew_secret()
    token.save()
    token.projects.set(projects or [])
    return token
