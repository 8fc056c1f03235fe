"""What is done to tasks in bulk: the service itself finds, locks and asks, so whoever calls it need not."""

import pytest

from django_pm.exceptions import CannotBeAssigned, NotAllowed
from django_pm.models import Event, Role, Task
from django_pm.services import tasks
from tests.factories import make_member, make_project, make_task, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def calls(project, owner):
    """Each verb as a function of who acts and on which task."""
    return {
        "complete": lambda actor, pk: tasks.complete(actor=actor, pk=pk),
        "reassign": lambda actor, pk: tasks.reassign(actor=actor, pk=pk, assignee=None),
        "move": lambda actor, pk: tasks.move(actor=actor, pk=pk, project=make_project(actor)),
        "delete": lambda actor, pk: tasks.delete(actor=actor, pk=pk),
    }


VERBS = ["complete", "reassign", "move", "delete"]


@pytest.mark.parametrize("verb", VERBS)
def test_a_hidden_task_reads_like_one_that_is_gone(calls, project, owner, verb):
    task = make_task(project, assignee=owner)
    before = Event.objects.count()
    stranger = make_user()
    make_project(stranger)
    for pk in (task.pk, task.pk + 99_999):
        with pytest.raises(Task.DoesNotExist):
            calls[verb](stranger, pk)
    task.refresh_from_db()
    assert (task.status, task.assignee, task.project) == ("pending", owner, project)
    assert not Event.objects.filter(project_id=project.pk)[before:].exists()


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("role", list(Role))
def test_every_role(calls, project, owner, verb, role):
    actor = make_user()
    make_member(project, actor, role)
    task = make_task(project, assignee=None if verb == "move" else owner)
    if role == Role.VIEWER:
        with pytest.raises(NotAllowed):
            calls[verb](actor, task.pk)
    else:
        assert calls[verb](actor, task.pk) is True


def test_what_is_so_already_is_no_change(project, owner):
    task = make_task(project, status="completed", assignee=owner)
    before = Event.objects.count()
    assert tasks.complete(actor=owner, pk=task.pk) is False
    assert tasks.reassign(actor=owner, pk=task.pk, assignee=owner) is False
    assert tasks.move(actor=owner, pk=task.pk, project=project) is False
    assert Event.objects.count() == before


def test_only_who_sees_the_project_is_given_its_task(project, owner):
    task, stranger = make_task(project, assignee=owner), make_user()
    with pytest.raises(CannotBeAssigned):
        tasks.reassign(actor=owner, pk=task.pk, assignee=stranger)
    other = make_project()
    make_member(other, owner)
    task.assignee = None
    task.save()
    make_member(project, stranger)
    tasks.reassign(actor=owner, pk=task.pk, assignee=stranger)
    with pytest.raises(CannotBeAssigned):
        tasks.move(actor=owner, pk=task.pk, project=other)
    task.refresh_from_db()
    assert (task.assignee, task.project) == (stranger, project)
