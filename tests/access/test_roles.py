"""The default policy, as a table: who may do what to which object."""

import pytest
from django.contrib.auth.models import AnonymousUser

from django_pm import access
from django_pm.models import Comment, Membership, Project, Role, Task
from tests.factories import make_comment, make_member, make_project, make_superuser, make_task, make_user

pytestmark = pytest.mark.django_db

ROLES = ["viewer", "member", "manager", "owner"]
USERS = ["anonymous", "outsider", "former member", "deactivated", "deactivated superuser", *ROLES, "superuser"]

EVERYBODY_INSIDE = {*ROLES, "superuser"}
FROM_MEMBER = {"member", "manager", "owner", "superuser"}
FROM_MANAGER = {"manager", "owner", "superuser"}
OWNERS = {"owner", "superuser"}
SIGNED_IN = {"outsider", "former member", *EVERYBODY_INSIDE}

# What each line does not name, that user may not. "a …" is unsaved, as when it is about to be added. An owner's
# "own membership" is one of two here; that the last one stays is no matter of who asks (see tests/services).
TABLE = {
    ("add", "a project"): SIGNED_IN,
    ("view", "the project"): EVERYBODY_INSIDE,
    ("change", "the project"): FROM_MANAGER,
    ("delete", "the project"): OWNERS,
    #
    ("add", "a task"): FROM_MEMBER,
    ("view", "a task of somebody"): EVERYBODY_INSIDE,
    ("change", "a task of somebody"): FROM_MEMBER,
    ("delete", "a task of somebody"): FROM_MEMBER,
    #
    ("add", "a comment"): FROM_MEMBER,
    ("view", "own comment"): EVERYBODY_INSIDE,
    ("change", "own comment"): FROM_MEMBER,
    ("delete", "own comment"): FROM_MEMBER,
    ("view", "comment of somebody"): EVERYBODY_INSIDE,
    ("change", "comment of somebody"): FROM_MANAGER,
    ("delete", "comment of somebody"): FROM_MANAGER,
    ("change", "comment of nobody"): FROM_MANAGER,
    ("delete", "comment of nobody"): FROM_MANAGER,
    #
    ("add", "a viewer"): FROM_MANAGER,
    ("add", "a member"): FROM_MANAGER,
    ("add", "a manager"): OWNERS,
    ("add", "an owner"): OWNERS,
    ("view", "membership of a viewer"): EVERYBODY_INSIDE,
    ("change", "membership of a viewer"): FROM_MANAGER,
    ("delete", "membership of a viewer"): FROM_MANAGER,
    ("view", "membership of a member"): EVERYBODY_INSIDE,
    ("change", "membership of a member"): FROM_MANAGER,
    ("delete", "membership of a member"): FROM_MANAGER,
    ("view", "membership of a manager"): EVERYBODY_INSIDE,
    ("change", "membership of a manager"): OWNERS,
    ("delete", "membership of a manager"): OWNERS,
    ("view", "membership of an owner"): EVERYBODY_INSIDE,
    ("change", "membership of an owner"): OWNERS,
    ("delete", "membership of an owner"): OWNERS,
    ("view", "own membership"): {*ROLES},
    ("change", "own membership"): {"owner"},
    ("delete", "own membership"): {*ROLES},
}


def make_actor(kind, project):
    if kind == "anonymous":
        return AnonymousUser()
    user = {
        "deactivated": lambda: make_user(is_active=False),
        "deactivated superuser": lambda: make_superuser(is_active=False),
        "superuser": make_superuser,
    }.get(kind, make_user)()
    if kind in ROLES:
        make_member(project, user, kind)
    elif kind == "deactivated":
        make_member(project, user, Role.OWNER)
    return user


def make_object(name, project, actor):
    """What the table calls `name`; None where the actor has no such thing."""
    account = actor if actor.pk else None
    role = name.rpartition(" ")[2]
    match name.split()[0], name:
        case "own", "own membership":
            return Membership.objects.filter(project=project, user=account).first() if account else None
        case "own", _:
            return make_comment(make_task(project), account) if account else None
        case "membership", _:
            return make_member(project, role=role)
        case _, "comment of somebody":
            return make_comment(make_task(project), make_user())
        case _, "comment of nobody":
            return make_comment(make_task(project))
        case _, "the project":
            return project
        case _, "a project":
            return Project()
        case _, "a task":
            return Task(project=project)
        case _, "a task of somebody":
            return make_task(project, created_by=make_user(), assignee=make_user())
        case _, "a comment":
            return Comment(task=make_task(project), user=account)
    return Membership(project=project, role=role)


@pytest.mark.parametrize("kind", USERS)
@pytest.mark.parametrize(("verb", "name"), TABLE, ids=lambda part: part)
def test_the_table(verb, name, kind):
    project = make_project()
    actor = make_actor(kind, project)
    target = make_object(name, project, actor)
    if target is None:
        assert kind not in TABLE[verb, name]
        return
    assert access.may(actor, verb, target) is (kind in TABLE[verb, name])


def test_the_table_asks_about_every_verb_and_every_role():
    assert {verb for verb, _name in TABLE} == {"view", "add", "change", "delete"}
    assert set(USERS) >= set(Role.values)


@pytest.mark.parametrize("role", ROLES)
def test_a_role_counts_in_its_own_project_alone(role):
    actor, project = make_user(), make_project()
    make_member(project, actor, role)
    elsewhere = make_project()
    for target in (elsewhere, make_task(elsewhere), make_comment(make_task(elsewhere), actor), Task(project=elsewhere)):
        for verb in ("view", "change", "delete"):
            assert not access.may(actor, verb, target)
        assert not access.may(actor, "add", Task(project=elsewhere))


@pytest.mark.parametrize("role", ROLES)
def test_more_is_added_with_each_role(role):
    allowed = {line for line, users in TABLE.items() if role in users}
    below = {line for line, users in TABLE.items() if ROLES.index(role) and ROLES[ROLES.index(role) - 1] in users}
    assert below <= allowed


def test_nobody_grants_above_the_own_role():
    project = make_project()
    for held in Role:
        actor = make_user()
        make_member(project, actor, held)
        granted = [role for role in Role if access.may(actor, "add", Membership(project=project, role=role))]
        assert all(role.rank <= held.rank for role in granted)
        assert granted == [role for role in Role if access.may(actor, "change", Membership(project=project, role=role))]


def test_a_change_of_role_is_felt_at_once():
    project, actor = make_project(), make_user()
    task = make_task(project)
    membership = make_member(project, actor, Role.VIEWER)
    assert not access.may(actor, "change", task)
    Membership.objects.filter(pk=membership.pk).update(role=Role.MEMBER)
    assert access.may(actor, "change", task)
    membership.delete()
    assert not access.may(actor, "view", task)


class BareUser:
    """As little as a user model may offer: no `is_active`, no `is_superuser`."""

    is_authenticated = True
    is_anonymous = False

    def __init__(self, pk):
        self.pk = pk


def test_users_without_flags_are_ordinary_and_active():
    project = make_project()
    member, outsider = make_member(project).user, make_user()
    for pk, expected in ((member.pk, True), (outsider.pk, False)):
        actor = BareUser(pk)
        assert access.may(actor, "change", make_task(project)) is expected
        assert access.visible(actor, Project.objects.all()).exists() is expected
        assert not access.may(actor, "change", project)


def test_require_is_may_with_a_reason():
    project = make_project()
    viewer = make_member(project, role=Role.VIEWER).user
    access.require(viewer, "view", project)
    with pytest.raises(access.NotAllowed, match="You may not change this project"):
        access.require(viewer, "change", project)
    with pytest.raises(access.NotAllowed, match="You may not add this task"):
        access.require(viewer, "add", Task(project=project))


def test_asking_costs_one_query(django_assert_num_queries):
    project = make_project()
    task, member = make_task(project), make_member(project).user
    with django_assert_num_queries(1):
        assert access.may(member, "delete", task)
    with django_assert_num_queries(0):
        assert access.may(make_superuser_without_query(), "delete", task)


def make_superuser_without_query():
    user = BareUser(None)
    user.is_superuser = True
    return user
