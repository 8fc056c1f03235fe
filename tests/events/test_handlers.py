"""A host's signal handlers write too; every event stands where its write does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db.models.signals import ModelSignal, post_delete, post_save, pre_delete, pre_save
from rest_framework.test import APIClient

from django_pm.models import Comment, Event, Project, Task
from tests import factories
from tests.events.support import Log, apply, present

pytestmark = pytest.mark.django_db


@contextmanager
def handling(signal: ModelSignal, handler: Callable[..., None]) -> Iterator[None]:
    signal.connect(handler, sender=Task)
    try:
        yield
    finally:
        signal.disconnect(handler, sender=Task)


def assert_rebuilt(project: Project) -> None:
    events = Event.objects.filter(project_id=project.pk).order_by("id")
    assert apply({}, events, project.pk) == present(project.pk)


def test_saving_again_after_the_save(project: Project) -> None:
    def handler(instance: Task, **kwargs: Any) -> None:
        if not instance.title.endswith("!"):
            instance.title += "!"
            instance.save()

    log = Log()
    with handling(post_save, handler):
        Task.objects.create(project=project, title="Dig")
    assert [(event.type, event.changes["title"]) for event in log.events()] == [
        ("task.created", [None, "Dig"]),
        ("task.updated", ["Dig", "Dig!"]),
    ]
    assert_rebuilt(project)


def test_commenting_after_the_save(project: Project) -> None:
    def handler(instance: Task, **kwargs: Any) -> None:
        Comment.objects.create(task=instance, author="robot", content="Noted.")

    log = Log()
    with handling(post_save, handler):
        Task.objects.create(project=project, title="Dig")
    assert [event.type for event in log.events()] == ["task.created", "comment.created"]


def test_updating_the_row_before_the_save(project: Project) -> None:
    task = factories.make_task(project, title="Dig")

    def handler(instance: Task, **kwargs: Any) -> None:
        Task.objects.filter(pk=instance.pk).update(priority="urgent")

    log = Log()
    with handling(pre_save, handler):
        task.title = "Fill"
        task.save()
    first, second = log.events()
    assert first.changes["priority"] == ["none", "urgent"]
    # The instance did not know of it and took it back.
    assert (second.changes["priority"], second.changes["title"]) == (["urgent", "none"], ["Dig", "Fill"])
    assert_rebuilt(project)


def test_changing_the_instance_before_the_save(project: Project) -> None:
    task = factories.make_task(project, title="Dig")
    before = Task.objects.get(pk=task.pk).updated_at

    def handler(instance: Task, **kwargs: Any) -> None:
        instance.title = instance.title.strip().upper()

    log = Log()
    with handling(pre_save, handler):
        task.save()
    assert log.only().changes["title"] == ["Dig", "DIG"]
    assert Task.objects.get(pk=task.pk).updated_at > before


@pytest.mark.parametrize("signal", [pre_delete, post_delete])
def test_writing_while_a_task_is_deleted(project: Project, signal: ModelSignal) -> None:
    task, other = factories.make_task(project), factories.make_task(project)

    def handler(instance: Task, **kwargs: Any) -> None:
        Task.objects.filter(pk=other.pk).update(title=f"after {instance.title}")

    log = Log()
    with handling(signal, handler):
        task.delete()
    assert sorted(event.type for event in log.events()) == ["task.deleted", "task.updated"]
    assert_rebuilt(project)


def test_a_failing_handler_leaves_the_write_as_django_does(project: Project) -> None:
    """Outside a transaction Django has committed the row by then; so the event has to be there too."""

    def handler(**kwargs: Any) -> None:
        raise RuntimeError("handler")

    log = Log()
    with handling(post_save, handler), pytest.raises(RuntimeError):
        Task.objects.create(project=project, title="Dig")
    assert Task.objects.filter(title="Dig").exists() == bool(log.events())
    task = factories.make_task(project)
    task.title = "Fill"
    task.save()
    assert_rebuilt(project)


def test_through_the_api_too(project: Project, api: APIClient) -> None:
    """The API reads the row under its lock and hands it to the write; a handler in between makes that out of date."""
    task = factories.make_task(project, title="Dig")

    def handler(instance: Task, **kwargs: Any) -> None:
        Task.objects.filter(pk=instance.pk).update(priority="urgent")

    log = Log()
    with handling(pre_save, handler):
        assert api.patch(f"/tasks/{task.pk}/", {"title": "Fill"}, "json").status_code == 200
    first, second = log.events()
    assert first.changes["priority"] == ["none", "urgent"]
    assert (second.changes["priority"], second.changes["title"]) == (["urgent", "none"], ["Dig", "Fill"])
    assert_rebuilt(project)


def test_the_api_and_the_host_tell_the_same(project: Project, api: APIClient) -> None:
    mine, theirs = factories.make_task(project, title="Dig"), factories.make_task(project, title="Dig")
    log = Log()
    assert api.patch(f"/tasks/{mine.pk}/", {"title": "Fill", "status": "completed"}, "json").status_code == 200
    theirs.title, theirs.status = "Fill", "completed"
    theirs.save()
    assert api.delete(f"/tasks/{mine.pk}/").status_code == 204
    theirs.delete()
    first, second, third, fourth = log.events()
    for by_api, by_host in ((first, second), (third, fourth)):
        assert (by_api.type, by_api.changes.keys()) == (by_host.type, by_host.changes.keys())
        assert (by_api.changes["title"], by_api.origin) == (by_host.changes["title"], "api")
