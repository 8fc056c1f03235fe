"""Whoever loses sight of a project loses it with the very next request, whatever is kept and whoever has its tag."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from rest_framework.test import APIClient

from django_pm.access import OpenPolicy, RolePolicy
from django_pm.events import feed
from django_pm.events.feed import number_all
from django_pm.models import Membership, Project, ProjectStream, Role
from tests.cache.support import came_from, plainly, told
from tests.factories import (
    PASSWORD,
    login_name,
    make_comment,
    make_member,
    make_project,
    make_superuser,
    make_task,
    make_token,
    make_user,
)

pytestmark = pytest.mark.django_db(transaction=True)


class ByDomain(RolePolicy):
    """A host's own: it sees the projects that are named like the domain of its address."""

    def projects_of(self, user):
        return Project.objects.filter(name=user.get_username().rpartition("@")[2])


class FromElsewhere(RolePolicy):
    """Asks outside the database, where the answer is another one each time."""

    answers: Any = iter(())

    def visible_projects(self, user):
        return Project.objects.filter(pk__in=next(type(self).answers))


class Site:
    def __init__(self) -> None:
        self.owner, self.viewer, self.other = make_user("owner"), make_user("viewer"), make_user("other")
        viewers = {self.viewer: Role.VIEWER, self.other: Role.VIEWER}
        self.project = make_project(self.owner, viewers, name="secret")
        self.rest = make_project(self.owner, viewers, name="rest")
        for project in (self.project, self.rest):
            make_comment(make_task(project, title=project.name), content=project.name)
        task = self.project.tasks.get()
        self.lists = [
            "/projects/",
            "/tasks/",
            f"/tasks/?project={self.project.pk}",
            f"/tasks/{task.pk}/comments/",
            f"/projects/{self.project.pk}/members/",
        ]
        number_all()

    def client(self, user: Any) -> APIClient:
        client = APIClient(raise_request_exception=False)
        assert client.login(**{get_user_model().USERNAME_FIELD: login_name(user), "password": PASSWORD})
        return client

    def heat(self, *clients: APIClient) -> dict[str, str]:
        """Ask for everything until it is kept; the tags."""
        tags = {}
        for client in clients:
            for path in self.lists:
                client.get(path)
                assert came_from(client, path) == "local", path
                tags[path] = client.get(path).headers["ETag"]
        return tags

    def assert_blind(self, client: APIClient, tags: dict[str, str]) -> None:
        """Nothing of the project is told, not even to whoever still has the tags."""
        for path, tag in tags.items():
            for headers in ({}, {"HTTP_IF_NONE_MATCH": tag}, {"HTTP_IF_NONE_MATCH": ", ".join(tags.values())}):
                answer = client.get(path, **headers)
                assert b"secret" not in answer.content, (path, headers)
                assert answer.status_code != 304, (path, headers)
                assert answer.content == plainly(client, path).content
                if path not in {"/projects/", "/tasks/"}:
                    assert answer.status_code >= 400, path


@pytest.fixture
def site():
    return Site()


def remove(site):
    Membership.objects.get(project=site.project, user=site.viewer).delete()


def remove_by_queryset(site):
    Membership.objects.filter(project=site.project, user=site.viewer).delete()


def hand_on(site):
    Membership.objects.filter(project=site.project, user=site.viewer).update(user=make_user())


def deactivate(site):
    get_user_model()._default_manager.filter(pk=site.viewer.pk).update(is_active=False)


def delete_project(site):
    site.project.delete()


@pytest.mark.parametrize("lose", [remove, remove_by_queryset, hand_on, deactivate, delete_project])
def test_losing_sight(site, lose):
    viewer, other = site.client("viewer"), site.client("other")
    tags = site.heat(viewer, other)
    lose(site)
    site.assert_blind(viewer, tags)
    if lose is not delete_project:
        site.heat(other)
        site.assert_blind(viewer, tags)


def test_no_longer_a_superuser(site):
    boss = make_superuser("boss")
    client = site.client("boss")
    tags = site.heat(client)
    get_user_model()._default_manager.filter(pk=boss.pk).update(is_superuser=False)
    site.assert_blind(client, tags)


def test_roles_are_read_anew(site):
    viewer = site.client("viewer")
    path = site.lists[-1]
    site.heat(viewer)
    member = Membership.objects.get(project=site.project, user=site.viewer)
    for role in (Role.OWNER, Role.VIEWER, Role.MANAGER):
        before = viewer.get(path).content
        Membership.objects.filter(pk=member.pk).update(role=role)
        after = viewer.get(path)
        assert after.content != before
        assert {row["id"]: row["role"] for row in after.json()["results"]}[member.pk] == role


@pytest.mark.parametrize("how", ["narrow", "narrow to none", "revoke", "expire"])
def test_tokens(site, how):
    token = make_token(site.viewer, [site.project, site.rest])
    client = APIClient(HTTP_AUTHORIZATION=f"Bearer {token.secret}")
    tags = site.heat(site.client("viewer"), client)
    if how == "revoke":
        token.delete()
    elif how == "expire":
        token.expires_at = token.created_at
        token.save()
    else:
        token.projects.set([site.rest] if how == "narrow" else [])
    site.assert_blind(client, tags)
    site.heat(site.client("viewer"))
    site.assert_blind(client, tags)


def test_another_policy(site):
    stranger = make_user("stranger")
    client, viewer = site.client("stranger"), site.client("viewer")
    with told(POLICY="django_pm.access.OpenPolicy"):
        tags = site.heat(client)
    site.heat(viewer)
    site.assert_blind(client, tags)
    with told(POLICY="django_pm.access.OpenPolicy"):
        assert came_from(client, "/tasks/") == "local"
    with told(POLICY=f"{__name__}.ByDomain"):
        site.assert_blind(client, tags)
        Project.objects.filter(pk=site.project.pk).update(name=stranger.get_username().rpartition("@")[2])
        assert len(client.get("/tasks/").json()["results"]) == 1
        assert issubclass(OpenPolicy, RolePolicy)


@pytest.mark.parametrize("path", [0, 1, 2, 3, 4])
def test_a_policy_that_never_says_the_same(site, path, monkeypatch):
    """Each answer holds what one of the policy's answers allows, and what is kept is of that one alone."""
    secret, rest = site.project.pk, site.rest.pk
    sights = [[secret, rest], [rest], [secret], []]
    viewer = site.client("viewer")
    url = site.lists[path]
    with told(POLICY=f"{__name__}.FromElsewhere"):
        for order in itertools.permutations(sights):
            monkeypatch.setattr(FromElsewhere, "answers", itertools.cycle(order))
            for _time in range(3):
                viewer.get(url)
        for sight in sights:
            monkeypatch.setattr(FromElsewhere, "answers", itertools.repeat(sight))
            for _time in range(2):
                assert viewer.get(url).content == plainly(viewer, url).content
                assert (b"secret" in viewer.get(url).content) <= (secret in sight)


def test_bytes_are_shared_by_those_who_see_the_same(site):
    third = make_user("third")
    make_member(site.project, third, Role.MANAGER)
    make_member(site.rest, third, Role.OWNER)
    number_all()
    viewer, manager = site.client("viewer"), site.client("third")
    tags = site.heat(viewer)
    for path in site.lists:
        assert came_from(manager, path) == "local"
        assert manager.get(path).headers["ETag"] == tags[path]
    hidden = make_project(third, name="hidden")
    make_task(hidden)
    for path in ("/projects/", "/tasks/"):
        assert came_from(viewer, path) != "made"
        answer = manager.get(path)
        assert answer.headers.get("ETag") != tags[path]
        assert viewer.get(path, HTTP_IF_NONE_MATCH=tags[path]).status_code == 304
    assert b"hidden" in manager.get("/projects/").content
    assert b"hidden" not in viewer.get("/projects/").content
    # A list of one project is the same to everybody who sees that one.
    assert came_from(manager, site.lists[2]) == "local"


def test_any_tag(site):
    """`If-None-Match: *` is known to those alone who may see the list."""
    viewer, stranger = site.client("viewer"), APIClient()
    site.heat(viewer)
    stranger.force_authenticate(make_user())
    assert viewer.get("/tasks/", HTTP_IF_NONE_MATCH="*").status_code == 304
    assert stranger.get("/tasks/", HTTP_IF_NONE_MATCH="*").json()["results"] == []
    assert stranger.get(site.lists[3], HTTP_IF_NONE_MATCH="*").status_code == 404


class ByGroup(RolePolicy):
    """A host's own, by rows of which no event tells: it sees the projects that are named like its groups."""

    def projects_of(self, user):
        return Project.objects.filter(name__in=user.groups.values("name"))


@pytest.mark.parametrize("path", ["/tasks/", "/projects/"])
def test_sight_gained_between_the_versions_and_the_rows(site, path, monkeypatch):
    """What comes in between must not be filed under the versions that others share."""
    groups = {name: Group.objects.create(name=name) for name in ("secret", "rest")}
    for user in (site.viewer, site.other):
        user.groups.add(groups["rest"])
    viewer, other = site.client("viewer"), site.client("other")
    gained = iter([groups["secret"]])

    def vector(*args, **kwargs):
        found = read(*args, **kwargs)
        for group in gained:
            site.viewer.groups.add(group)
        return found

    read = feed.vector
    monkeypatch.setattr(feed, "vector", vector)
    with told(POLICY=f"{__name__}.ByGroup"):
        assert b"secret" in viewer.get(path).content
        assert b"secret" not in other.get(path).content
        site.viewer.groups.clear()
        assert viewer.get(path).json()["results"] == []
        for client in (viewer, other):
            assert client.get(path).content == plainly(client, path).content


def test_projects_alike_but_for_their_key(site):
    """Streams that began as copies of each other stand where the other stands."""
    Membership.objects.filter(project=site.project, user=site.other).delete()
    Membership.objects.filter(project=site.rest, user=site.viewer).delete()
    number_all()
    ProjectStream.objects.update(epoch="same", seq=100)
    for path in ("/tasks/", "/projects/"):
        for _time in range(2):
            for name, is_seen in (("viewer", True), ("other", False)):
                assert (b"secret" in site.client(name).get(path).content) is is_seen
