"""Rows that have one of many keys: as with `__in`, on each database, whatever the keys are."""

import pytest
from django.db import connection, models
from django.test.utils import isolate_apps

from django_pm.models import Membership, Project
from django_pm.models.among import among
from tests.factories import make_project, make_user

pytestmark = pytest.mark.django_db


def test_it_finds_what_in_finds():
    projects = [make_project(make_user(name)) for name in "abc"]
    keys = [project.pk for project in projects[:2]]
    assert set(Project.objects.filter(among("pk", keys))) == set(projects[:2])
    assert set(Project.objects.filter(among("pk", map(str, keys)))) == set(projects[:2])
    assert set(Project.objects.exclude(among("pk", keys))) == {projects[2]}
    assert not Project.objects.filter(among("pk", [])).exists()
    assert set(Project.objects.filter(among("pk", [*keys, None]))) == set(projects[:2])
    owners = [project.memberships.get().user_id for project in projects]
    assert Membership.objects.filter(among("user", owners[:2]), role="owner").count() == 2


def test_postgresql_gets_one_value(django_assert_num_queries):
    with django_assert_num_queries(1) as asked:
        list(Project.objects.filter(among("pk", range(1000))))
    assert ("ANY" in asked[0]["sql"]) == (connection.vendor == "postgresql")


class Key:
    """As some sites have them."""

    def __init__(self, number):
        self.number = number

    def __hash__(self):
        return hash(self.number)

    def __eq__(self, other):
        return isinstance(other, Key) and other.number == self.number


class KeyField(models.IntegerField):
    def get_prep_value(self, value):
        return value.number if isinstance(value, Key) else super().get_prep_value(value)

    def from_db_value(self, value, *_):
        return None if value is None else Key(value)

    def to_python(self, value):
        return value if value is None or isinstance(value, Key) else Key(int(value))


@pytest.mark.django_db(transaction=True)
@isolate_apps("django_pm")
def test_keys_of_a_sites_own_kind():
    class Person(models.Model):
        id = KeyField(primary_key=True)

        class Meta:
            app_label = "django_pm"

        def __str__(self):
            return f"person {self.pk}"

    class Seat(models.Model):
        person = models.ForeignKey(Person, models.CASCADE)

        class Meta:
            app_label = "django_pm"

        def __str__(self):
            return f"seat {self.pk}"

    with connection.schema_editor() as editor:
        editor.create_model(Person)
        editor.create_model(Seat)
    try:
        Person.objects.bulk_create([Person(id=Key(1)), Person(id=Key(2))])
        Seat.objects.create(person_id=Key(2))
        assert Person.objects.get(among("pk", [Key(1)])).pk == Key(1)
        assert Seat.objects.get(among("person", [Key(1), Key(2)])).person_id == Key(2)
    finally:
        with connection.schema_editor() as editor:
            editor.delete_model(Seat)
            editor.delete_model(Person)
