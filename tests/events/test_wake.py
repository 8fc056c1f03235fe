"""After a commit, and only then, readers are woken: once per transaction, and nothing they do can harm the writer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction

from django_pm.models import Project, Task
from django_pm.signals import events_committed
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def woken() -> Iterator[list[set[Any]]]:
    """The projects of each wake."""
    calls: list[set[Any]] = []

    def receiver(sender: Any, project_ids: set[Any], **kwargs: Any) -> None:
        calls.append(project_ids)

    events_committed.connect(receiver)
    yield calls
    events_committed.disconnect(receiver)


def test_once_per_transaction(project: Project, woken: list[set[Any]]) -> None:
    other = factories.make_project()
    woken.clear()
    with transaction.atomic():
        for title in ("a", "b"):
            Task.objects.create(project=project, title=title)
            Task.objects.create(project=other, title=title)
        assert woken == []
    assert woken == [{project.pk, other.pk}]


def test_not_when_nothing_was_committed(project: Project, woken: list[set[Any]]) -> None:
    woken.clear()
    with transaction.atomic():
        Task.objects.create(project=project, title="a")
        transaction.set_rollback(True)
    assert woken == []


def test_also_when_the_first_savepoint_was_rolled_back(project: Project, woken: list[set[Any]]) -> None:
    woken.clear()
    with transaction.atomic():
        with transaction.atomic():
            Task.objects.create(project=project, title="lost")
            transaction.set_rollback(True)
        Task.objects.create(project=project, title="kept")
    assert woken == [{project.pk}]


def test_a_failing_receiver_harms_nobody(project: Project) -> None:
    def receiver(**kwargs: Any) -> None:
        raise RuntimeError

    later = []
    events_committed.connect(receiver)
    try:
        with transaction.atomic():
            Task.objects.create(project=project, title="a")
            transaction.on_commit(lambda: later.append(True))
    finally:
        events_committed.disconnect(receiver)
    assert later == [True]
    assert Task.objects.filter(title="a").exists()
