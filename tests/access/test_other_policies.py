"""The policies that ship beside the default one, and a host's own."""

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AnonymousUser, Group, Permission

from django_pm import access
from django_pm.models import Comment, Membership, Project, Role, Task
from tests.factories import make_comment, make_member, make_project, make_superuser, make_task, make_user

pytestmark = pytest.mark.django_db

VERBS = ["view", "add", "change", "delete"]


class GuestBackend(ModelBackend):
    """A host's own: staff may view everything, whatever the tables say."""

    def has_perm(self, user_obj, perm, obj=None):
        return user_obj.is_staff and "view" in perm


@pytest.fixture
def project():
    return make_project()


def rights(user, obj):
    return {verb for verb in VERBS if access.may(user, verb, obj)}


def visible_projects(user):
    return set(access.visible(user, Project.objects.all()))


# Every signed-in user is a member of all


@pytest.fixture
def _open(settings):
    settings.DJANGO_PM = {"POLICY": "django_pm.access.OpenPolicy"}


@pytest.mark.usefixtures("_open")
class TestOpenPolicy:
    def test_a_stranger_is_a_member(self, project):
        user = make_user()
        task = make_task(project)
        assert visible_projects(user) == {project}
        assert rights(user, task) == set(VERBS)
        assert rights(user, project) == {"view"} | {"add"}  # adding asks about a new project, whichever it is given
        assert rights(user, make_comment(task, user)) == set(VERBS)
        assert rights(user, make_comment(task, make_user())) == {"view", "add"}
        assert rights(user, make_member(project)) == {"view"}
        assert not access.may(user, "add", Membership(project=project, role=Role.VIEWER))

    @pytest.mark.parametrize("role", [Role.VIEWER, Role.MEMBER])
    def test_a_lesser_role_takes_nothing_away(self, project, role):
        user = make_member(project, role=role).user
        assert rights(user, make_task(project)) == set(VERBS)
        assert not access.may(user, "change", project)

    def test_a_higher_role_adds_to_it(self, project):
        manager = make_member(project, role=Role.MANAGER).user
        owner = make_member(project, role=Role.OWNER).user
        assert rights(manager, project) == {"view", "add", "change"}
        assert rights(owner, project) == set(VERBS)
        elsewhere = make_project()
        assert rights(owner, elsewhere) == {"view", "add"}

    def test_members_may_leave(self, project):
        membership = make_member(project)
        assert access.may(membership.user, "delete", membership)

    def test_nobody_without_an_active_account_may_anything(self, project):
        for user in (AnonymousUser(), make_user(is_active=False), make_superuser(is_active=False)):
            assert visible_projects(user) == set()
            for obj in (project, make_task(project), Project(), Task(project=project)):
                assert rights(user, obj) == set()

    def test_superusers_may_everything(self, project):
        for obj in (project, make_task(project), make_comment(make_task(project)), make_member(project)):
            assert rights(make_superuser(), obj) == set(VERBS)


# Django's model permissions


@pytest.fixture
def _model_permissions(settings):
    settings.DJANGO_PM = {"POLICY": "django_pm.access.ModelPermissionPolicy"}


def make_holder(*codenames, **fields):
    user = make_user(**fields)
    user.user_permissions.add(*permissions(*codenames))
    return get_user_model()._default_manager.get(pk=user.pk)  # permissions are cached on the instance


def permissions(*codenames):
    found = Permission.objects.filter(content_type__app_label="django_pm", codename__in=codenames)
    assert {permission.codename for permission in found} == set(codenames)
    return found


@pytest.mark.usefixtures("_model_permissions")
class TestModelPermissionPolicy:
    def test_view_project_opens_all_projects_with_what_is_in_them(self, project):
        user = make_holder("view_project")
        task = make_task(project)
        assert visible_projects(user) == {project}
        for obj in (project, task, make_comment(task, user), make_member(project)):
            assert rights(user, obj) == {"view"}

    def test_without_it_nothing_is_seen_or_done(self, project):
        user = make_holder("add_task", "change_task", "delete_task", "view_task", "change_project")
        assert visible_projects(user) == set()
        assert rights(user, make_task(project)) == set()
        assert rights(user, project) == set()

    @pytest.mark.parametrize("verb", ["add", "change", "delete"])
    @pytest.mark.parametrize("model", [Project, Task, Comment, Membership], ids=lambda model: model.__name__)
    def test_each_permission_gives_its_verb_on_its_model(self, project, verb, model):
        user = make_holder("view_project", f"{verb}_{model.__name__.lower()}")
        task = make_task(project)
        for obj in (project, task, make_comment(task), make_member(project)):
            assert rights(user, obj) == {"view"} | ({verb} if isinstance(obj, model) else set())

    def test_to_add_a_project_takes_only_that_permission(self):
        assert access.may(make_holder("add_project"), "add", Project())
        assert not access.may(make_holder("view_project"), "add", Project())

    def test_roles_and_authorship_give_nothing(self, project):
        owner = make_member(project, role=Role.OWNER).user
        assert visible_projects(owner) == set()
        user = make_holder("view_project")
        make_member(project, user, Role.OWNER)
        assert rights(user, make_comment(make_task(project), user)) == {"view"}

    def test_another_backend_is_asked_user_by_user(self, settings, project):
        settings.AUTHENTICATION_BACKENDS = [f"{__name__}.GuestBackend"]
        guest, other = make_user(is_staff=True), make_user()
        assert access.who_sees(project.pk, [guest.pk, other.pk]) == {guest.pk}
        assert access.visible_to_each([guest.pk, other.pk]) == {guest.pk: None, other.pk: set()}

    def test_groups_count(self, project):
        group = Group.objects.create(name="Readers")
        group.permissions.add(*permissions("view_project"))
        user = make_user()
        user.groups.add(group)
        assert visible_projects(user) == {project}
        assert access.who_sees(project.pk, [user.pk]) == {user.pk}

    def test_nobody_without_an_active_account_may_anything(self, project):
        holder = make_holder("view_project", "change_task", is_active=False)
        for user in (AnonymousUser(), holder, make_superuser(is_active=False)):
            assert visible_projects(user) == set()
            assert rights(user, make_task(project)) == set()

    def test_superusers_may_everything(self, project):
        for obj in (project, make_task(project), Project(), Task(project=project)):
            assert rights(make_superuser(), obj) == set(VERBS)


# A host's own


class ReadOnlyPolicy(access.RolePolicy):
    """A host's policy: an archive that everybody in it may read and nobody may change."""

    def may(self, user, verb, obj):
        return verb == "view" and super().may(user, verb, obj)


class OnlyNamedPolicy:
    """A host's policy written from scratch: projects are open to all when their name says so."""

    def visible_projects(self, user):
        return Project.objects.filter(name__startswith="Public")

    def may(self, user, verb, obj):
        return verb == "view"

    def who_sees(self, project_id, user_ids):
        return set(user_ids) if self.visible_projects(None).filter(pk=project_id).exists() else set()


def test_a_host_narrows_the_default(settings, project):
    settings.DJANGO_PM = {"POLICY": "tests.access.test_other_policies.ReadOnlyPolicy"}
    owner = project.memberships.get().user
    assert rights(owner, make_task(project)) == {"view"}
    assert visible_projects(owner) == {project}
    assert access.sees(owner, project.pk)


class OpenDoorsPolicy(access.RolePolicy):
    """A host's policy that changes what one user sees, and knows nothing of `visible_to_each`."""

    def visible_projects(self, user):
        return super().visible_projects(user) | Project.objects.filter(name__startswith="Public")


def test_a_host_that_changes_what_one_user_sees_changes_it_for_many(settings, project):
    settings.DJANGO_PM = {"POLICY": "tests.access.test_other_policies.OpenDoorsPolicy"}
    public = make_project(name="Public works")
    owner, stranger = project.memberships.get().user, make_user()
    found = access.visible_to_each([owner.pk, stranger.pk])
    assert found == {owner.pk: {project.pk, public.pk}, stranger.pk: {public.pk}}


def test_a_host_writes_its_own(settings, project):
    settings.DJANGO_PM = {"POLICY": "tests.access.test_other_policies.OnlyNamedPolicy"}
    public = make_project(name="Public works")
    user = make_user()
    assert visible_projects(user) == {public}
    assert access.visible_to_each([user.pk]) == {user.pk: {public.pk}}
    assert set(access.visible(user, Task.objects.all())) == set()
    task = make_task(public)
    assert set(access.visible(user, Task.objects.all())) == {task}
    assert (access.sees(user, public.pk), access.sees(user, project.pk)) == (True, False)


def test_every_surface_of_the_api_follows_it(settings, project, signed_in):
    task = make_task(project)
    make_comment(task)
    client = signed_in(project.memberships.get().user)
    addresses = [f"/projects/{project.pk}/", f"/tasks/{task.pk}/", f"/projects/{project.pk}/members/"]
    assert [client.get(address).status_code for address in addresses] == [200, 200, 200]
    settings.DJANGO_PM = {"POLICY": "tests.access.test_other_policies.OnlyNamedPolicy"}
    assert [client.get(address).status_code for address in addresses] == [404, 404, 404]
    assert [client.get(address).json()["results"] for address in ("/projects/", "/tasks/")] == [[], []]


def test_the_setting_is_read_each_time(settings):
    assert type(access.policy()) is access.RolePolicy
    settings.DJANGO_PM = {"POLICY": "django_pm.access.OpenPolicy"}
    assert type(access.policy()) is access.OpenPolicy
    settings.DJANGO_PM = {}
    assert type(access.policy()) is access.RolePolicy
