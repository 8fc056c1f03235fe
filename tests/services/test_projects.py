"""A project and its owner are made together or not at all."""

import pytest
from django.contrib.auth import get_user_model
from django.db import IntegrityError, transaction
from django.db.models.signals import post_save

from django_pm import access
from django_pm.models import Membership, Project, Role
from django_pm.services.projects import create_project
from tests.factories import make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def actor():
    return make_user("ada")


@pytest.fixture
def _broken_membership():
    """A receiver of the host's that fails when a membership is made: the second half of the service."""

    def fail(**kwargs):
        raise RuntimeError("the host's own code failed")

    post_save.connect(fail, sender=Membership)
    yield
    post_save.disconnect(fail, sender=Membership)


def test_the_actor_becomes_the_owner(actor):
    project = create_project(actor=actor, name="Moon base")
    assert Project.objects.get() == project
    assert project.created_by == actor
    membership = project.memberships.get()
    assert (membership.user, membership.role) == (actor, Role.OWNER)
    assert access.may(actor, "delete", project)


def test_columns_are_taken_as_given(actor):
    project = create_project(
        actor=actor, name="Moon base", description="Far", time_zone="Asia/Tokyo", metadata={"key": [1]}
    )
    project.refresh_from_db()
    assert (project.name, project.description, project.time_zone) == ("Moon base", "Far", "Asia/Tokyo")
    assert project.metadata == {"key": [1]}


def test_each_call_makes_one(actor):
    for name in ("a", "b", "a"):
        create_project(actor=actor, name=name)
    assert sorted(Project.objects.values_list("name", flat=True)) == ["a", "a", "b"]
    assert Membership.objects.count() == 3


@pytest.mark.usefixtures("_broken_membership")
def test_no_project_without_an_owner(actor):
    with pytest.raises(RuntimeError, match="the host's own"):
        create_project(actor=actor, name="Moon base")
    assert not Project.objects.exists()


@pytest.mark.usefixtures("_broken_membership")
def test_a_host_s_transaction_goes_on_after_a_failure(actor):
    with transaction.atomic():
        before = Project.objects.create(name="before")
        with pytest.raises(RuntimeError):
            create_project(actor=actor, name="Moon base")
        after = Project.objects.create(name="after")
    assert set(Project.objects.all()) == {before, after}


def test_a_refused_name_leaves_nothing_behind(actor):
    with pytest.raises(IntegrityError):
        create_project(actor=actor, name=None)
    assert not Project.objects.exists()
    assert not Membership.objects.exists()


def test_it_goes_with_a_host_s_transaction(actor):
    with transaction.atomic():
        create_project(actor=actor, name="Moon base")
        transaction.set_rollback(True)
    assert not Project.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_it_is_committed_when_no_transaction_is_open(actor):
    create_project(actor=actor, name="Moon base")
    assert not transaction.get_connection().in_atomic_block
    assert Membership.objects.get().user == get_user_model()._default_manager.get()
