"""What has made lists old elsewhere, case by case; `test_same_as_uncached.py` looks for what nobody has thought of."""

from __future__ import annotations

import datetime as dt

import pytest
from django.db import transaction
from django.test import override_settings
from rest_framework.test import APIClient

from django_pm.api import lists
from django_pm.cache.worth import Worth
from django_pm.events import feed
from django_pm.events.retention import prune, rotate_epoch
from django_pm.models import Comment, Membership, Project, ProjectStream, Task
from tests.cache.support import came_from, plainly
from tests.factories import make_comment, make_member, make_project, make_task, make_user
from tests.models import writes

pytestmark = pytest.mark.django_db(transaction=True)


class Site:
    def __init__(self) -> None:
        self.owner = make_user("owner")
        self.project = make_project(self.owner, metadata={"n": 1})
        self.task = make_task(self.project, metadata={"n": 1}, assignee=self.owner)
        self.comment = make_comment(self.task)
        self.member = make_member(self.project)
        self.client = APIClient()
        self.client.force_authenticate(self.owner)
        self.lists = [
            "/tasks/",
            "/tasks/?ordering=updated_at",
            f"/tasks/?project={self.project.pk}",
            "/projects/?ordering=-updated_at",
            f"/tasks/{self.task.pk}/comments/",
            f"/projects/{self.project.pk}/members/",
        ]
        feed.number_all()

    def heat(self) -> None:
        for path in self.lists:
            self.client.get(path)
            assert came_from(self.client, path) == "local"

    def check(self) -> None:
        for path in self.lists:
            plain = plainly(self.client, path)
            for _time in range(2):
                answer = self.client.get(path)
                assert (answer.status_code, answer.content) == (plain.status_code, plain.content), path


@pytest.fixture
def site():
    return Site()


@pytest.mark.parametrize("write", writes.CHANGES, ids=lambda write: write.__name__)
def test_a_status_however_written(site, write):
    for status in ("completed", "pending"):
        site.heat()
        before = site.client.get("/tasks/").content
        write(site.task, status)
        site.check()
        assert site.client.get("/tasks/").content != before


@pytest.mark.parametrize("write", writes.CREATIONS, ids=lambda write: write.__name__)
def test_a_task_however_made(site, write):
    site.heat()
    write(site.project, status="completed")
    site.check()
    assert len(site.client.get("/tasks/").json()["results"]) == 2


THEN = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
SILENT = {
    "a time of change": lambda site: Task.objects.update(updated_at=THEN),
    "a comment's": lambda site: Comment.objects.update(updated_at=THEN),
    "a project's": lambda site: Project.objects.update(updated_at=THEN),
    "a member's": lambda site: Membership.objects.update(updated_at=THEN),
    "one that was there": lambda site: Task.objects.update(updated_at=THEN, title=site.task.title),
    "a task's time of making": lambda site: Task.objects.update(created_at=THEN),
    "true": lambda site: Task.objects.update(metadata={"n": True}),
    "a fraction": lambda site: Project.objects.update(metadata={"n": 1.0}),
    "a number of another kind": lambda site: site.client.patch(
        f"/tasks/{site.task.pk}/", {"metadata": {"n": True}}, "json"
    ),
    "an assignee who is gone": lambda site: site.owner.pm_assigned_tasks.clear(),
    "a member who is gone": lambda site: site.member.user.delete(),
}


@pytest.mark.parametrize("write", SILENT.values(), ids=SILENT)
def test_what_might_leave_no_event(site, write):
    site.heat()
    write(site)
    site.check()


@pytest.mark.parametrize("commits", [True, False])
def test_what_is_read_inside_a_transaction_is_kept_for_nobody(site, commits):
    """What is rolled back had the version that the next change gets."""
    site.heat()
    with transaction.atomic():
        Task.objects.update(title="Only here")
        for path in site.lists:
            assert "ETag" not in site.client.get(path).headers
        assert b"Only here" in site.client.get("/tasks/").content
        transaction.set_rollback(not commits)
    site.check()
    Task.objects.update(title="Really")
    site.check()


def test_a_savepoint_that_is_rolled_back(site):
    site.heat()
    with transaction.atomic():
        with transaction.atomic():
            Task.objects.update(title="Never")
            site.client.get("/tasks/")
            transaction.set_rollback(True)
        Task.objects.update(title="Really")
    site.check()


def test_a_backup_that_is_restored(site):
    """Its log goes on from an earlier number, to other events: `pm_epoch --rotate` says so."""
    for title in ("one", "two"):
        Task.objects.update(title=title)
        feed.number_all()
        site.heat()
    ProjectStream.objects.filter(pk=site.project.pk).update(seq=feed.version(site.project.pk).number - 1)
    Task._base_manager.filter(pk=site.task.pk)._update(  # as a restored table comes back
        [(Task._meta.get_field("title"), None, "restored")]
    )
    rotate_epoch()
    for number in range(3):
        site.check()
        Task.objects.update(title=f"after {number}")


def test_numbering_and_pruning_leave_what_is_kept(site):
    site.heat()
    Task.objects.update(title="new")
    site.check()
    site.heat()
    feed.number_all()
    prune(site.project.pk, keep=1)
    assert [came_from(site.client, path) for path in site.lists] == ["local"] * len(site.lists)


def test_what_another_process_keeps(site):
    site.heat()
    lists.answers.local.clear()
    assert [came_from(site.client, path) for path in site.lists] == ["shared"] * len(site.lists)
    Task.objects.update(title="new")
    lists.answers.local.clear()
    site.check()


def test_more_projects_than_are_watched(site, monkeypatch):
    monkeypatch.setattr(lists, "MOST_PROJECTS", 1)
    monkeypatch.setattr(lists, "worth", Worth())
    make_project(site.owner)
    feed.number_all()
    for _time in range(2):
        assert came_from(site.client, "/tasks/") == "bypass"
        site.check()
        Task.objects.update(title="new")


def test_another_address_is_another_list(site):
    """Links name the host that was asked."""
    with override_settings(ALLOWED_HOSTS=["*"]):
        make_task(site.project)
        for host in ("one.example", "two.example"):
            link = site.client.get("/tasks/?page_size=1", HTTP_HOST=host).json()["next"]
            assert link.startswith(f"http://{host}/tasks/")
