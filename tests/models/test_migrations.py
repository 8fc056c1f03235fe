"""The migrations: complete, and split so that projects and tasks may become swappable on installed sites."""

from io import StringIO

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from django_pm.models import Comment, Membership, Project, Task

OURS = "django_pm"
FIRST = (OURS, "0001_initial")


@pytest.fixture(scope="module")
def loader():
    return MigrationLoader(None)


def models_at(loader, node):
    return {model for app, model in loader.project_state(node).models if app == OURS}


def test_none_is_missing(db):
    output = StringIO()
    try:
        call_command("makemigrations", check=True, dry_run=True, stdout=output)
    except SystemExit:
        pytest.fail(f"A model has changed without a migration:\n{output.getvalue()}")


def test_the_first_holds_projects_and_tasks_alone(loader):
    assert models_at(loader, FIRST) == {"project", "task"}
    created = {operation.name for operation in loader.get_migration(*FIRST).operations if hasattr(operation, "bases")}
    assert created == {"Project", "Task"}


def test_what_points_at_them_comes_after(loader):
    second = (OURS, "0002_membership_comment")
    assert models_at(loader, second) == {"project", "task", "comment", "membership"}
    for model in (Comment, Membership):
        assert model._meta.model_name not in models_at(loader, FIRST)


def test_they_depend_on_the_site_s_users_and_on_nothing_else(loader):
    users = settings.AUTH_USER_MODEL.split(".")[0]
    for node in [node for node in loader.graph.nodes if node[0] == OURS]:
        assert {parent.key[0] for parent in loader.graph.node_map[node].parents} <= {OURS, users}, node
    assert {parent.key[0] for parent in loader.graph.node_map[FIRST].parents} == {users}


def test_a_release_gets_on_with_the_tables_of_the_next(loader):
    """docs/upgrades.md: old code inserts without naming a new column, and reads by the names that it knows."""
    adding = {"CreateModel", "AddField", "AlterField", "AddIndex", "AddConstraint", "AlterModelOptions"}
    columns = {}  # of the tables that an earlier migration has made
    for node in sorted(node for node in loader.graph.nodes if node[0] == OURS):
        for operation in loader.get_migration(*node).operations:
            kind = type(operation).__name__
            assert kind in adding, (node, kind)
            if kind == "AddField" and operation.model_name_lower in columns:
                field = operation.field
                needs_no_value = field.null or field.has_db_default() or field.many_to_many
                assert needs_no_value, f"{node}: {operation.name} needs null=True or a db_default"
            elif kind == "AlterField":
                before, after = columns[operation.model_name_lower][operation.name], operation.field
                assert before.db_parameters(connection) == after.db_parameters(connection), (node, operation.name)
                assert after.null or not before.null, (node, operation.name)
        models = loader.project_state(node).models.items()
        columns = {name: model.fields for (app, name), model in models if app == OURS}
    assert "task" in columns


def test_they_hold_no_setting_of_one_site(loader):
    """`TIME_ZONE` is asked for when a project is made, not when the migration was written."""
    field = loader.project_state(FIRST).models[OURS, "project"].fields["time_zone"]
    assert callable(field.default)
    assert field.default is Project._meta.get_field("time_zone").default


def test_permissions_follow_the_model_names(db):
    """Codenames are what a site has granted: they outlive any refactoring."""
    for model in (Project, Task, Comment, Membership):
        opts = model._meta
        assert opts.default_permissions == ("add", "change", "delete", "view")
        assert opts.permissions == []
        assert opts.label_lower == f"{OURS}.{model.__name__.lower()}"
        assert opts.db_table == f"django_pm_{model.__name__.lower()}"
