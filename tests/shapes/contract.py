"""What every site must be, whatever its settings: migrated, without a change of its own to our tables, and content."""

import pytest
from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import connections, router

pytestmark = pytest.mark.django_db


def test_no_migration_is_missing() -> None:
    call_command("makemigrations", "--check", "--dry-run")


def test_everything_is_migrated() -> None:
    for alias in settings.DATABASES:
        call_command("migrate", "--check", database=alias)
    for model in apps.get_models(include_auto_created=True):
        tables = connections[router.db_for_write(model)].introspection.table_names()
        assert model._meta.db_table in tables, f"{model.__name__} is in {router.db_for_write(model)}"


def test_the_checks_find_nothing() -> None:
    call_command("check", "--fail-level", "WARNING")
