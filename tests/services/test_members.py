"""People join, change roles and leave, and a project keeps an owner."""

import threading
import time

import pytest
from django.contrib.auth import get_user_model
from django.db import IntegrityError, connection, transaction

from django_pm.exceptions import AlreadyMember, Conflict, DjangoPMError, LastOwner
from django_pm.models import Membership, Project, Role, Task
from django_pm.services.members import add_member, change_role, remove_member
from tests.factories import make_member, make_project, make_task, make_user

pytestmark = pytest.mark.django_db

WAIT_SECONDS = 10


@pytest.fixture
def project():
    """One with a single owner."""
    return make_project()


@pytest.fixture
def owner(project):
    return project.memberships.get()


def roles(project):
    return sorted(project.memberships.values_list("role", flat=True))


# Joining


@pytest.mark.parametrize("role", Role.values)
def test_somebody_joins_in_a_role(project, owner, role):
    user = make_user()
    membership = add_member(actor=owner.user, project=project, user=user, role=role)
    assert project.memberships.get(user=user) == membership
    assert membership.role == role


def test_a_member_unless_said_otherwise(project, owner):
    assert add_member(actor=owner.user, project=project, user=make_user()).role == Role.MEMBER


def test_somebody_joins_several_projects(project, owner):
    user, other = make_user(), make_project()
    for each in (project, other):
        add_member(actor=owner.user, project=each, user=user)
    assert Membership.objects.filter(user=user).count() == 2


def test_nobody_joins_twice(project, owner):
    membership = make_member(project, role=Role.VIEWER)
    with pytest.raises(AlreadyMember, match="already a member") as refused:
        add_member(actor=owner.user, project=project, user=membership.user, role=Role.MANAGER)
    assert isinstance(refused.value, Conflict)
    assert isinstance(refused.value, DjangoPMError)
    membership.refresh_from_db()
    assert membership.role == Role.VIEWER


def test_a_host_s_transaction_goes_on_after_the_refusal(project, owner):
    """PostgreSQL refuses every statement after a failed one, unless the failure was inside a savepoint."""
    user = make_member(project).user
    with transaction.atomic():
        before = Task.objects.create(project=project, title="before")
        with pytest.raises(AlreadyMember):
            add_member(actor=owner.user, project=project, user=user)
        after = Task.objects.create(project=project, title="after")
    assert set(project.tasks.all()) == {before, after}


def test_any_other_refusal_of_the_database_is_told_as_it_is(project, owner):
    with pytest.raises(IntegrityError) as refused:
        add_member(actor=owner.user, project=project, user=make_user(), role=None)
    assert not isinstance(refused.value, DjangoPMError)
    assert roles(project) == ["owner"]


# Changing roles


def test_a_role_changes(project, owner):
    membership = make_member(project, role=Role.VIEWER)
    for role in (Role.MANAGER, Role.OWNER, Role.MEMBER):
        assert change_role(actor=owner.user, membership=membership, role=role) == membership
        assert Membership.objects.get(pk=membership.pk).role == role


@pytest.mark.parametrize("role", [Role.VIEWER, Role.MEMBER, Role.MANAGER, "viewer"])
def test_the_last_owner_stays_owner(project, owner, role):
    make_member(project, role=Role.MANAGER)
    with pytest.raises(LastOwner, match="at least one owner"):
        change_role(actor=owner.user, membership=owner, role=role)
    assert roles(project) == ["manager", "owner"]


def test_to_make_the_last_owner_an_owner_is_no_change(project, owner):
    change_role(actor=owner.user, membership=owner, role=Role.OWNER)
    assert roles(project) == ["owner"]


def test_one_of_two_owners_may_become_less(project, owner):
    other = make_member(project, role=Role.OWNER)
    change_role(actor=owner.user, membership=owner, role=Role.VIEWER)
    assert roles(project) == ["owner", "viewer"]
    with pytest.raises(LastOwner):
        change_role(actor=other.user, membership=other, role=Role.MANAGER)


def test_owners_elsewhere_do_not_count(project, owner):
    elsewhere = make_project(owner.user)
    make_member(elsewhere, role=Role.OWNER)
    with pytest.raises(LastOwner):
        change_role(actor=owner.user, membership=owner, role=Role.MEMBER)


def test_a_stale_membership_is_judged_by_what_is_stored(project, owner):
    """Somebody read both owners before the other one left."""
    other = make_member(project, role=Role.OWNER)
    stale = Membership.objects.get(pk=owner.pk)
    Membership.objects.filter(pk=other.pk).update(role=Role.VIEWER)
    with pytest.raises(LastOwner):
        change_role(actor=owner.user, membership=stale, role=Role.MEMBER)
    Membership.objects.filter(pk=owner.pk).update(role=Role.MEMBER)
    Membership.objects.filter(pk=other.pk).update(role=Role.OWNER)
    change_role(actor=owner.user, membership=stale, role=Role.VIEWER)
    assert roles(project) == ["owner", "viewer"]


# Leaving


def test_somebody_leaves(project, owner):
    membership = make_member(project)
    remove_member(actor=membership.user, membership=membership)
    assert roles(project) == ["owner"]


def test_the_last_owner_stays(project, owner):
    make_member(project, role=Role.MANAGER)
    with pytest.raises(LastOwner):
        remove_member(actor=owner.user, membership=owner)
    assert roles(project) == ["manager", "owner"]


def test_one_of_two_owners_leaves(project, owner):
    make_member(project, role=Role.OWNER)
    remove_member(actor=owner.user, membership=owner)
    assert roles(project) == ["owner"]
    with pytest.raises(LastOwner):
        remove_member(actor=owner.user, membership=project.memberships.get())


def test_a_host_s_transaction_goes_on_after_the_last_owner_was_kept(project, owner):
    with transaction.atomic():
        with pytest.raises(LastOwner):
            remove_member(actor=owner.user, membership=owner)
        with pytest.raises(LastOwner):
            change_role(actor=owner.user, membership=owner, role=Role.VIEWER)
        add_member(actor=owner.user, project=project, user=make_user(), role=Role.OWNER)
        remove_member(actor=owner.user, membership=owner)
    assert roles(project) == ["owner"]


@pytest.mark.parametrize("service", ["add", "change", "remove"])
def test_each_goes_with_a_host_s_transaction(project, owner, service):
    membership = make_member(project, role=Role.VIEWER)
    with transaction.atomic():
        match service:
            case "add":
                add_member(actor=owner.user, project=project, user=make_user())
            case "change":
                change_role(actor=owner.user, membership=membership, role=Role.MANAGER)
            case "remove":
                remove_member(actor=owner.user, membership=Membership.objects.get(pk=membership.pk))
        assert roles(project) != ["owner", "viewer"]
        transaction.set_rollback(True)
    assert roles(project) == ["owner", "viewer"]


# At the same moment


def refusals_of(call):
    """What `call` raises in a thread with a connection of its own; the thread and a list that gets the answer."""
    answers = []

    def run():
        try:
            call()
            answers.append(None)
        except Exception as error:  # whatever it is, the test has to see it
            answers.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread, answers


def wait_until_somebody_waits_for_this_transaction():
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT true FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
            )
            if cursor.fetchone():
                return
    raise AssertionError(f"Nobody waited within {WAIT_SECONDS} seconds.")


def demote(membership):
    change_role(actor=membership.user, membership=membership, role=Role.MEMBER)


def leave(membership):
    remove_member(actor=membership.user, membership=membership)


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("first", [demote, leave])
@pytest.mark.parametrize("second", [demote, leave])
def test_two_owners_who_go_at_the_same_moment_cannot_both_go(first, second):
    project = make_project()
    owner, other = project.memberships.get(), make_member(project, role=Role.OWNER)
    with transaction.atomic():
        first(owner)
        thread, answers = refusals_of(lambda: second(other))
        wait_until_somebody_waits_for_this_transaction()
    thread.join(WAIT_SECONDS)
    assert [type(answer) for answer in answers] == [LastOwner]
    assert project.memberships.filter(role=Role.OWNER).count() == 1


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_of_two_who_add_the_same_person_one_is_told_so():
    project, user = make_project(), make_user()
    with transaction.atomic():
        add_member(actor=None, project=project, user=user, role=Role.VIEWER)
        thread, answers = refusals_of(lambda: add_member(actor=None, project=project, user=user, role=Role.MEMBER))
        wait_until_somebody_waits_for_this_transaction()
    thread.join(WAIT_SECONDS)
    assert [type(answer) for answer in answers] == [AlreadyMember]
    assert project.memberships.get(user=user).role == Role.VIEWER


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_leaving_owner_holds_up_nobody_who_works():
    """The lock on the project lets rows that point at it be written meanwhile."""
    project = make_project()
    make_member(project, role=Role.OWNER)
    with transaction.atomic():
        leave(project.memberships.first())
        thread, answers = refusals_of(lambda: Task.objects.create(project=project, title="Dig"))
        thread.join(WAIT_SECONDS)
        assert answers == [None]


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_an_account_and_its_project_are_deleted_at_once():
    """Both lock the project first, so one waits for the other, and neither is given up."""
    project, user = make_project(), make_user()
    make_member(project, user)
    make_task(project, assignee=user)
    begun = []

    def delete_too(run, sql, values, many, context):
        result = run(sql, values, many, context)
        if "FOR UPDATE" in sql and 'FROM "django_pm_membership"' in sql and not begun:
            begun.append(refusals_of(project.delete))
            wait_until_somebody_waits_for_this_transaction()
        return result

    with transaction.atomic(), connection.execute_wrapper(delete_too):
        user.delete()
    [(thread, answers)] = begun
    thread.join(WAIT_SECONDS)
    assert answers == [None]
    assert not Project.objects.exists()
    assert get_user_model().objects.count() == 1
