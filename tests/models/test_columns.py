"""The columns that clients and host code rely on, one line each: renaming or narrowing one is a breaking change."""

import datetime as dt

import pytest
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.test import override_settings

from django_pm.models import (
    AbstractComment,
    AbstractProject,
    AbstractTask,
    Comment,
    Membership,
    Priority,
    Project,
    Role,
    Status,
    Task,
)
from tests.factories import make_comment, make_member, make_project, make_task, make_user

NEVER = models.NOT_PROVIDED


def text(max_length=None, *, blank=False, default=NEVER, choices=None):
    kind = "TextField" if max_length is None else "CharField"
    return {"kind": kind, "max_length": max_length, "blank": blank, "default": default, "choices": choices}


def instant(**differences):
    return {"kind": "DateTimeField", "auto_now": False, "auto_now_add": False} | differences


def link(target, related_name, on_delete=models.CASCADE):
    optional = on_delete is models.SET_NULL
    return {
        "kind": "ForeignKey",
        "target": target,
        "related_name": related_name,
        "on_delete": on_delete,
        "null": optional,
        "blank": optional,
    }


USER = settings.AUTH_USER_MODEL
KEY = {"kind": "BigAutoField", "primary_key": True, "blank": True}
CREATED = instant(auto_now_add=True, blank=True, editable=False)
UPDATED = instant(auto_now=True, blank=True, editable=False)
METADATA = {"kind": "JSONField", "blank": True, "default": dict}
STATUSES = [("pending", "Pending"), ("in_progress", "In progress"), ("completed", "Completed")]
PRIORITIES = [("none", "None"), ("low", "Low"), ("medium", "Medium"), ("high", "High"), ("urgent", "Urgent")]
ROLES = [("viewer", "Viewer"), ("member", "Member"), ("manager", "Manager"), ("owner", "Owner")]

COLUMNS = {
    Project: {
        "id": KEY,
        "name": text(255),
        "description": text(blank=True, default=""),
        "created_at": CREATED,
        "updated_at": UPDATED,
        "created_by": link(USER, "pm_created_projects", models.SET_NULL),
        "time_zone": {"kind": "CharField", "max_length": 64},
        "metadata": METADATA,
    },
    Task: {
        "id": KEY,
        "project": link("django_pm.Project", "tasks"),
        "title": text(255),
        "description": text(blank=True, default=""),
        "status": text(20, default="pending", choices=STATUSES),
        "created_at": CREATED,
        "updated_at": UPDATED,
        "due_date": instant(null=True, blank=True),
        "assignee": link(USER, "pm_assigned_tasks", models.SET_NULL),
        "priority": {"kind": "SmallIntegerField", "default": "none", "choices": PRIORITIES},
        "created_by": link(USER, "pm_created_tasks", models.SET_NULL),
        "completed_at": instant(null=True, blank=True, editable=False),
        "metadata": METADATA,
    },
    Comment: {
        "id": KEY,
        "task": link("django_pm.Task", "comments"),
        "author": text(255),
        "content": text(),
        "created_at": CREATED,
        "updated_at": UPDATED,
        "user": link(USER, "pm_comments", models.SET_NULL),
    },
    Membership: {
        "id": KEY,
        "project": link("django_pm.Project", "memberships"),
        "user": link(USER, "pm_memberships"),
        "role": text(20, default="member", choices=ROLES),
        "created_at": CREATED,
        "updated_at": UPDATED,
    },
}


def facts(field):
    """What a test may compare of a field; `null` and the like are False unless a line above says otherwise."""
    relation = field.remote_field
    return {
        "kind": "ForeignKey" if relation else field.get_internal_type(),
        "max_length": field.max_length,
        "null": field.null,
        "blank": field.blank,
        "editable": field.editable,
        "primary_key": field.primary_key,
        "default": field.default,
        "choices": [(value, str(label)) for value, label in field.choices] if field.choices else None,
        "auto_now": getattr(field, "auto_now", None),
        "auto_now_add": getattr(field, "auto_now_add", None),
        "target": relation and relation.model._meta.label,
        "related_name": relation and relation.related_name,
        "on_delete": relation and relation.on_delete,
    }


@pytest.mark.parametrize("model", COLUMNS, ids=lambda model: model.__name__)
def test_the_columns_are_these_and_no_others(model):
    assert {field.name for field in model._meta.concrete_fields} == set(COLUMNS[model])


@pytest.mark.parametrize(
    ("model", "name"),
    [pytest.param(model, name, id=f"{model.__name__}.{name}") for model in COLUMNS for name in COLUMNS[model]],
)
def test_each_column_is_as_promised(model, name):
    wanted = {"null": False, "blank": False, "editable": True, "primary_key": False} | COLUMNS[model][name]
    found = facts(model._meta.get_field(name))
    assert {key: found[key] for key in wanted} == wanted


def test_tasks_and_comments_are_reached_from_their_parents(db):
    project = make_project()
    task = make_task(project)
    comment = make_comment(task)
    assert list(project.tasks.all()) == [task]
    assert list(task.comments.all()) == [comment]


@pytest.mark.parametrize("model", COLUMNS, ids=lambda model: model.__name__)
def test_related_managers_and_cascades_write_through_our_querysets(model):
    """The rules that hold on `update()` hold there too only if the base manager is the same."""
    assert model._meta.base_manager_name == "objects"
    assert type(model._base_manager) is type(model.objects)


@pytest.mark.parametrize("abstract", [AbstractProject, AbstractTask, AbstractComment], ids=lambda cls: cls.__name__)
def test_the_abstract_bases_are_public_and_abstract(abstract):
    assert abstract._meta.abstract


def test_choices_in_their_order():
    assert Status.values == ["pending", "in_progress", "completed"]
    assert Priority.values == ["none", "low", "medium", "high", "urgent"]
    assert [(role.value, role.rank) for role in Role] == [("viewer", 0), ("member", 1), ("manager", 2), ("owner", 3)]


def test_default_orders(db):
    project = make_project()
    newer, older = Project.objects.create(name="b"), project
    at = older.created_at
    Project.objects.filter(pk__in=[newer.pk, older.pk]).update(created_at=at)
    assert list(Project.objects.all()) == [newer, older], "ties are broken by the key"
    Project.objects.filter(pk=newer.pk).update(created_at=at - dt.timedelta(days=1))
    assert list(Project.objects.all()) == [older, newer]

    first, second = make_task(project), make_task(project)
    assert list(Task.objects.all()) == [second, first]
    remark, answer = make_comment(first), make_comment(first)
    assert list(Comment.objects.all()) == [remark, answer]


def test_a_user_is_in_a_project_once(db):
    membership = make_member(make_project())
    again = Membership(project=membership.project, user=membership.user, role=Role.VIEWER)
    with pytest.raises(ValidationError):
        again.full_clean()
    with pytest.raises(Exception, match=r"(?i)unique"):
        again.save()


@override_settings(TIME_ZONE="Europe/Lisbon")
def test_a_project_is_in_the_time_zone_of_the_site_unless_it_says_otherwise():
    assert Project().time_zone == "Europe/Lisbon"


@pytest.mark.parametrize("name", ["UTC", "Europe/Lisbon", "America/Argentina/Buenos_Aires"])
def test_a_known_time_zone_passes(name):
    Project(name="Moon base", time_zone=name).full_clean(exclude=["created_by"])


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "europe/lisbon ", "../etc/passwd", "GMT+25"])
def test_an_unknown_time_zone_is_refused_by_name(name):
    with pytest.raises(ValidationError) as refused:
        Project(name="Moon base", time_zone=name).full_clean(exclude=["created_by"])
    assert set(refused.value.message_dict) == {"time_zone"}


def test_metadata_is_not_shared_between_rows():
    one, other = Project(), Project()
    one.metadata["key"] = "value"
    assert other.metadata == {}


def test_every_row_knows_its_project(db):
    project = make_project()
    task = make_task(project)
    rows = [project, task, make_comment(task), make_member(project)]
    assert {row.owning_project_id for row in rows} == {project.pk}
    for row in rows:
        assert type(row).objects.filter(**{row.project_lookup: project.pk}).contains(row)


def test_rows_read_as_people_would_name_them(db):
    user = make_user("ada")
    project = make_project(user, name="Moon base")
    task = make_task(project, title="Dig")
    assert str(project) == "Moon base"
    assert str(task) == "Dig"
    assert str(make_comment(task, author="Ada", content="Deeper. " * 20)).startswith("Ada: Deeper.")
    assert len(str(make_comment(task, author="Ada", content="Deeper. " * 20))) == len("Ada: ") + 60
    assert str(project.memberships.get()) == f"{user}: Owner"
