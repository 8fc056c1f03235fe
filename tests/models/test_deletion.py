"""What goes with a row, and what outlives it."""

import pytest

from django_pm.models import Comment, Membership, Project, Task
from tests.factories import make_comment, make_member, make_project, make_task, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def user():
    return make_user("ada")


def test_a_deleted_user_leaves_the_work(user):
    project = make_project(created_by=user)
    task = make_task(project, assignee=user, created_by=user)
    comment = make_comment(task, user=user, author="Ada")
    user.delete()
    assert Project.objects.get().created_by is None
    task.refresh_from_db()
    assert (task.assignee, task.created_by) == (None, None)
    comment.refresh_from_db()
    assert (comment.user, comment.author) == (None, "Ada")


def test_a_deleted_user_leaves_every_project(user):
    staying = make_member(make_project())
    make_member(staying.project, user)
    user.delete()
    assert staying in Membership.objects.all()
    assert not Membership.objects.exclude(user__in=Membership.objects.values("user")).exists()
    assert Membership.objects.filter(project=staying.project).count() == 2


def test_users_deleted_in_bulk_leave_the_work(user):
    task = make_task(assignee=user, created_by=user)
    type(user)._default_manager.filter(pk=user.pk).delete()
    task.refresh_from_db()
    assert (task.assignee, task.created_by) == (None, None)


def test_a_deleted_project_takes_everything_in_it_and_nothing_else():
    kept = make_comment()
    comment = make_comment()
    project = comment.task.project
    make_member(project)
    owner = project.created_by
    project.delete()
    assert list(Project.objects.all()) == [kept.task.project]
    assert list(Task.objects.all()) == [kept.task]
    assert list(Comment.objects.all()) == [kept]
    assert {membership.project for membership in Membership.objects.all()} == {kept.task.project}
    owner.refresh_from_db()


def test_projects_deleted_in_bulk_take_everything_in_them():
    make_comment()
    make_comment()
    Project.objects.all().delete()
    assert not any(model.objects.exists() for model in (Project, Task, Comment, Membership))


def test_a_deleted_task_takes_its_comments():
    comment, kept = make_comment(), make_comment()
    comment.task.delete()
    assert list(Comment.objects.all()) == [kept]
