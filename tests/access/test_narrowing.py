"""A policy answers with a queryset of projects; the rows of every table are narrowed by it, whatever its form.

An unfiltered one means "all of them" and must not be mistaken for a filtered one: that would show everything.
"""

import pytest
from django.db.models import Count, F

from django_pm import access
from django_pm.models import Comment, Membership, Project, Task
from tests.factories import make_comment, make_project, make_task, make_user

pytestmark = pytest.mark.django_db

MODELS = [Project, Task, Comment, Membership]


@pytest.fixture(autouse=True)
def _projects():
    for name, tasks in (("here", 2), ("there", 1)):
        project = make_project(make_user(), name=name, members={make_user(): "member"} if name == "here" else {})
        for _ in range(tasks):
            make_comment(make_task(project))


def of(model, *names):
    projects = list(Project.objects.filter(name__in=names).values_list("pk", flat=True))
    return set(model.objects.filter(**{f"{model.project_lookup}__in": projects}).values_list("pk", flat=True))


class StubPolicy:
    """Answers with whatever the test has put in `projects`."""

    projects = staticmethod(Project.objects.all)

    def visible_projects(self, user):
        return type(self).projects()


def named(name):
    return Project.objects.order_by().filter(name=name)


RESTRICTED = {
    "filter": lambda: Project.objects.filter(name="here"),
    "exclude": lambda: Project.objects.exclude(name="there"),
    "none": Project.objects.none,
    "none in a list": lambda: Project.objects.filter(pk__in=[]),
    "slice": lambda: Project.objects.order_by("pk")[:1],
    "slice from": lambda: Project.objects.order_by("-pk")[1:],
    "join": lambda: Project.objects.filter(memberships__user__isnull=False, name="here"),
    "annotated and filtered": lambda: Project.objects.annotate(n=Count("memberships")).filter(n__gt=1),
    "union": lambda: named("here").union(named("nowhere")),
    "intersection": lambda: Project.objects.order_by().intersection(named("here")),
    "extra": lambda: Project.objects.extra(where=["name = 'here'"]),
    "combined": lambda: Project.objects.filter(name="here") | Project.objects.filter(name="nowhere"),
}
UNRESTRICTED = {
    "all": Project.objects.all,
    "ordered": lambda: Project.objects.order_by("name", "created_by"),
    "distinct": lambda: Project.objects.distinct(),
    "with counts": lambda: Project.objects.with_counts(),
    "some columns": lambda: Project.objects.only("pk").select_related("created_by"),
    "annotated": lambda: Project.objects.annotate(owner=F("created_by__pk")),
}


@pytest.fixture
def stub(settings, monkeypatch):
    settings.DJANGO_PM = {"POLICY": "tests.access.test_narrowing.StubPolicy"}

    def answer_with(projects):
        monkeypatch.setattr(StubPolicy, "projects", staticmethod(projects))

    return answer_with


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
@pytest.mark.parametrize("form", RESTRICTED)
def test_a_host_s_queryset_narrows_in_whatever_form_it_comes(stub, form, model):
    stub(RESTRICTED[form])
    expected = of(model) if form.startswith("none") else of(model, "here")
    assert set(access.visible(make_user(), model.objects.values_list("pk", flat=True))) == expected


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
@pytest.mark.parametrize("form", UNRESTRICTED)
def test_a_host_s_queryset_of_all_projects_hides_nothing(stub, form, model):
    stub(UNRESTRICTED[form])
    assert set(access.visible(make_user(), model.objects.values_list("pk", flat=True))) == of(model, "here", "there")
