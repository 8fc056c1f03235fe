"""A notification is told to its recipient alone, on every socket that is about its project."""

from __future__ import annotations

import datetime as dt
import json
import threading
import uuid

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from django_pm.events.relay import relay_events
from django_pm.models import Notification, Reason
from django_pm.realtime import notices
from django_pm.services.notifications import inbox
from tests.api.support import send, shown
from tests.factories import make_member, make_project, make_task

pytestmark = pytest.mark.postgres


@pytest.fixture
def viewer(project):
    """Somebody who has been told of being added."""
    viewer = make_member(project, role="viewer").user
    relay_events()
    Notification.objects.all().delete()
    return viewer


def coming(socket):
    """A socket whose welcome has been read."""
    socket.frame("welcome")
    return socket


def test_the_frame_is_what_the_inbox_has(site, project, api, owner, viewer, signed_in):
    site.sign_in(viewer, owner)
    with site.socket(viewer) as theirs, site.socket(owner) as others:
        coming(theirs), coming(others)
        body = {"project": project.pk, "title": "Dig", "due_date": "2030-01-01T00:00:00Z", "assignee": shown(viewer)}
        send(api, "POST", "/tasks/", body)
        assert theirs.frame()["type"] == others.frame()["type"] == "task.created"
        relay_events()
        told = theirs.frame()
        [row] = signed_in(viewer).get("/notifications/").json()["results"]
        assert told == {"type": "notification.created", "notification": row}
        assert others.is_quiet()
        assert theirs.is_quiet()


def test_a_socket_about_another_project_is_not_told(site, project, owner, viewer):
    elsewhere = make_project(owner)
    with (
        site.socket(viewer, query=f"?project={elsewhere.pk}") as narrow,
        site.socket(viewer, query=f"?project={project.pk}") as wide,
    ):
        coming(narrow), coming(wide)
        make_task(project, assignee=viewer)
        relay_events()
        assert [frame["type"] for frame in wide.frames(2)] == ["task.created", "notification.created"]
        assert narrow.is_quiet()


def test_who_lost_access_meanwhile_is_not_told(site, project, viewer):
    with site.socket(viewer) as theirs:
        coming(theirs)
        project.memberships.filter(user=viewer).delete()
        assert theirs.frame()["type"] == "access_lost"
        give(viewer, project)
        assert theirs.is_quiet()


def test_off_in_the_inbox_is_off_here(site, project, viewer):
    with site.socket(viewer) as theirs:
        coming(theirs)
        give(viewer, project, in_app=False)
        assert theirs.is_quiet()


def test_a_lower_key_that_is_committed_later_is_told(site, project, viewer):
    """The key of the first is taken before the second is there, and committed when that has been told."""
    may_commit, is_inserted = threading.Event(), threading.Event()

    def insert_slowly():
        try:
            with transaction.atomic():
                give(viewer, project)
                is_inserted.set()
                assert may_commit.wait(20)
        finally:
            connection.close()

    with site.socket(viewer) as theirs:
        coming(theirs)
        slow = threading.Thread(target=insert_slowly)
        slow.start()
        assert is_inserted.wait(20)
        later = give(viewer, project)
        assert theirs.frame()["notification"]["id"] == later.pk
        may_commit.set()
        slow.join()
        assert theirs.frame()["notification"]["id"] < later.pk
        assert theirs.is_quiet()


def test_what_came_just_before_the_hub_began_is_told(site, project, viewer):
    row = give(viewer, project)
    with site.socket(viewer) as theirs:
        coming(theirs)
        assert theirs.frame()["notification"]["id"] == row.pk


def test_what_is_old_is_not_told_after_a_beginning_that_failed(db, project, viewer):
    """The database goes away between the two statements that a hub begins with."""
    old = give(viewer, project)
    Notification.objects.filter(pk=old.pk).update(created_at=timezone.now() - dt.timedelta(days=1))
    asked = []

    def fail_once(execute, sql, params, many, context):
        asked.append(sql)
        if len(asked) == 2:
            raise OperationalError("terminating connection due to administrator command")
        return execute(sql, params, many, context)

    seen = notices.Seen()
    with connection.execute_wrapper(fail_once), pytest.raises(OperationalError):
        notices.look(seen, [viewer.pk], [])
    young = give(viewer, project)
    told, _invalid = notices.look(seen, [viewer.pk], [])
    assert [json.loads(notice.frame.message["text"])["notification"]["id"] for notice in told] == [young.pk]


def give(user, project, **values):
    """A row, as the subscriber would make it."""
    defaults = {"reason": Reason.ADDED, "object_type": "project", "object_id": str(project.pk)}
    return Notification.objects.create(
        recipient=user, project_id=project.pk, event_uuid=uuid.uuid4(), **{**defaults, **values}
    )


def test_the_hub_outlives_a_failure(site, project, viewer, monkeypatch):
    with site.socket(viewer) as theirs:
        coming(theirs)
        broken = threading.Event()

        def fail(rows):
            broken.set()
            raise RuntimeError("no answer")

        with monkeypatch.context() as patch:
            patch.setattr(inbox, "still_seen", fail)
            row = give(viewer, project)
            assert broken.wait(20)
        assert theirs.frame()["notification"]["id"] == row.pk
