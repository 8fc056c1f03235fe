"""What a user sees of each table, and which of many users see a project: two questions, one answer."""

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser, Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_pm import access
from django_pm.models import Comment, Membership, Project, Role, Task
from tests.factories import make_comment, make_member, make_project, make_superuser, make_task, make_user

pytestmark = pytest.mark.django_db

MODELS = [Project, Task, Comment, Membership]
POLICIES = ["RolePolicy", "OpenPolicy", "ModelPermissionPolicy"]


def furnish(**fields):
    """A project with something in every table."""
    project = make_project(**fields)
    for _ in range(2):
        make_comment(make_task(project))
    return project


each_policy = pytest.mark.parametrize("policy", POLICIES, indirect=True)


@pytest.fixture(autouse=True)
def policy(request, settings):
    """The policy in force, by its name; the default one unless a test asks for each."""
    name = getattr(request, "param", "RolePolicy")
    settings.DJANGO_PM = {"POLICY": f"django_pm.access.{name}"}
    return name


@pytest.fixture
def users():
    """One of each kind, by name; roles are in the project of the fixture `here`."""
    permission = Permission.objects.get(codename="view_project")
    users = {"superuser": make_superuser(), "deactivated superuser": make_superuser(is_active=False)}
    for name in ("outsider", "elsewhere", *Role.values, "holder"):
        users[name] = make_user()
    users["deactivated owner"] = make_user(is_active=False)
    users["deactivated holder"] = make_user(is_active=False)
    users["holder"].user_permissions.add(permission)
    users["deactivated holder"].user_permissions.add(permission)
    return users


@pytest.fixture
def here(users):
    project = furnish(name="here")
    for role in Role.values:
        make_member(project, users[role], role)
    make_member(project, users["deactivated owner"], Role.OWNER)
    return project


@pytest.fixture
def there(users):
    project = furnish(name="there")
    make_member(project, users["elsewhere"], Role.OWNER)
    return project


SEE_HERE = {
    "RolePolicy": {*Role.values, "superuser"},
    "OpenPolicy": {*Role.values, "superuser", "outsider", "elsewhere", "holder"},
    "ModelPermissionPolicy": {"holder", "superuser"},
}
SEE_THERE = SEE_HERE | {"RolePolicy": {"elsewhere", "superuser"}}


def names(users, pks):
    return {name for name, user in users.items() if user.pk in pks}


def of(model, *projects):
    inside = {f"{model.project_lookup}__in": [project.pk for project in projects]}
    return set(model.objects.filter(**inside).values_list("pk", flat=True))


@each_policy
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_each_table_is_narrowed_to_what_each_user_sees(policy, users, here, there, model):
    for name, user in users.items():
        expected = {project for project, see in ((here, SEE_HERE), (there, SEE_THERE)) if name in see[policy]}
        found = access.visible(user, model.objects.all())
        assert set(found.values_list("pk", flat=True)) == of(model, *expected), name
        assert found.count() == len(of(model, *expected)), f"{name} sees a row twice"
    assert of(model, here), "an empty table shows nothing"


@each_policy
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_nobody_who_is_not_signed_in_sees_anything(here, model):
    assert not access.visible(AnonymousUser(), model.objects.all()).exists()


@each_policy
def test_rows_stay_as_they_were_asked_for(users, here, there):
    """Filters, order and annotations of the caller hold; only rows go away."""
    rows = Task.objects.with_counts().filter(title="Dig").order_by("pk")
    found = access.visible(users["superuser"], rows)
    assert [task.comment_count for task in found] == [1, 1, 1, 1]
    assert not access.visible(users["superuser"], rows.filter(title="Fill")).exists()


@each_policy
def test_related_managers_are_narrowed_too(policy, users, here):
    for name, user in users.items():
        assert access.visible(user, here.tasks.all()).count() == (2 if name in SEE_HERE[policy] else 0)


# Many users at once


@each_policy
def test_who_sees_gives_those_and_no_others(policy, users, here, there):
    everybody = [user.pk for user in users.values()]
    assert names(users, access.who_sees(here.pk, everybody)) == SEE_HERE[policy]
    assert names(users, access.who_sees(there.pk, everybody)) == SEE_THERE[policy]


@each_policy
def test_who_sees_agrees_with_each_single_answer(users, here, there):
    for project in (here, there):
        together = access.who_sees(project.pk, [user.pk for user in users.values()])
        for name, user in users.items():
            alone = access.visible(user, Project.objects.filter(pk=project.pk)).exists()
            assert (user.pk in together) is alone, name
            assert access.sees(user, project.pk) is alone, name
            assert access.may(user, "view", project) is alone, name


@each_policy
def test_what_each_sees_agrees_with_each_single_answer(users, here, there):
    together = access.visible_to_each(user.pk for user in users.values())
    for name, user in users.items():
        alone = set(access.visible(user, Project.objects.all()).values_list("pk", flat=True))
        told = together[user.pk]
        assert (told is None) is access.sees_all(user), name
        assert told is None or told == alone, name


@each_policy
def test_what_each_sees_takes_as_many_statements_for_many(users, here, django_assert_max_num_queries):
    with django_assert_max_num_queries(3):
        access.visible_to_each([user.pk for user in users.values()])
    with django_assert_max_num_queries(3):
        access.who_sees(here.pk, [user.pk for user in users.values()])


@each_policy
def test_who_sees_answers_about_those_asked_alone(users, here):
    assert access.who_sees(here.pk, []) == set()
    pk = users["superuser"].pk
    assert access.who_sees(here.pk, [pk]) == {pk}
    assert access.who_sees(here.pk, iter([pk, pk])) == {pk}
    assert access.who_sees(here.pk, [missing_user_key(users)]) == set()


def missing_user_key(users):
    user = make_user()
    pk = user.pk
    user.delete()
    return pk


@pytest.mark.parametrize("policy", ["RolePolicy", "OpenPolicy"], indirect=True)
def test_who_sees_asks_the_same_of_any_number_of_users(here, django_assert_max_num_queries):
    pks = [make_member(here).user.pk for _ in range(30)]
    with django_assert_max_num_queries(2):  # is there such a project, and who of them sees it
        assert access.who_sees(here.pk, pks) >= set(pks)


def test_a_removed_member_is_seen_to_be_gone_at_once(users, here):
    member = users["member"]
    assert access.sees(member, here.pk)
    Membership.objects.filter(user=member).delete()
    assert not access.sees(member, here.pk)
    get_user_model()._default_manager.filter(pk=users["owner"].pk).update(is_active=False)
    assert access.who_sees(here.pk, [users["owner"].pk, users["viewer"].pk]) == {users["viewer"].pk}


# All, or some?


@each_policy
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_whoever_sees_all_pays_for_no_narrowing(users, here, model):
    statement = str(access.visible(users["superuser"], model.objects.all()).query)
    assert "WHERE" not in statement
    assert "JOIN" not in statement


@each_policy
def test_finding_out_costs_no_query(policy, users, here, django_assert_max_num_queries):
    with django_assert_max_num_queries(0 if policy != "ModelPermissionPolicy" else 2):
        access.visible(users["member"], Task.objects.all())


@each_policy
def test_a_list_is_one_statement(policy, users, here):
    with CaptureQueriesContext(connection) as captured:
        list(access.visible(users["viewer"], Task.objects.all()))
    assert len([query for query in captured if "django_pm_task" in query["sql"]]) == (
        0 if policy == "ModelPermissionPolicy" else 1
    )
