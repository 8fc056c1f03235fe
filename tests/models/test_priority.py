"""A priority is a word in Python and its rank in the database, on every way in and out."""

import json

import pytest
from django.core import serializers
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import connection, models, transaction
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.state import ModelState, ProjectState
from django.db.migrations.writer import MigrationWriter
from django.db.models import Case, Count, F, Max, Min, Value, When

from django_pm.models import Priority, Project, Task
from django_pm.models.fields import RankedChoiceField
from tests.factories import make_project, make_task

pytestmark = pytest.mark.django_db

WORDS = ["none", "low", "medium", "high", "urgent"]
ALPHABETICAL = sorted(WORDS)


@pytest.fixture
def tasks():
    """One of each priority, made in an order that is neither that of the ranks nor that of the alphabet."""
    project = make_project()
    return {word: make_task(project, priority=word) for word in ("medium", "urgent", "none", "high", "low")}


def words(rows):
    return list(rows.values_list("priority", flat=True))


def rank_in_table(task):
    with connection.cursor() as cursor:
        cursor.execute("SELECT priority FROM django_pm_task WHERE id = %s", [task.pk])
        return cursor.fetchone()[0]


def test_words_in_python_ranks_in_the_table(tasks):
    assert {word: rank_in_table(task) for word, task in tasks.items()} == {
        word: rank for rank, word in enumerate(WORDS)
    }
    assert Task.objects.get(pk=tasks["high"].pk).priority == "high"


def test_orders_by_rank_not_by_alphabet(tasks):
    assert WORDS != ALPHABETICAL
    assert words(Task.objects.order_by("priority")) == WORDS
    assert words(Task.objects.order_by("-priority")) == WORDS[::-1]
    assert words(Project.objects.get().tasks.order_by("project__name", "priority")) == WORDS


@pytest.mark.parametrize(
    ("lookup", "value", "expected"),
    [
        ("priority", "high", ["high"]),
        ("priority", Priority.HIGH, ["high"]),
        ("priority__gt", "medium", ["high", "urgent"]),
        ("priority__gte", "medium", ["medium", "high", "urgent"]),
        ("priority__lt", "low", ["none"]),
        ("priority__lte", Priority.LOW, ["none", "low"]),
        ("priority__in", ["urgent", "none"], ["none", "urgent"]),
        ("priority__range", ("low", "high"), ["low", "medium", "high"]),
        ("priority__isnull", True, []),
    ],
)
def test_lookups_compare_ranks(tasks, lookup, value, expected):
    assert words(Task.objects.filter(**{lookup: value}).order_by("priority")) == expected


def test_exclude(tasks):
    assert words(Task.objects.exclude(priority="none").order_by("priority")) == WORDS[1:]


@pytest.mark.parametrize("value", ["High", "", "4", 3, 3.0, True, ["high"], {"high": 1}, b"high"])
def test_what_is_no_priority_is_neither_searched_for_nor_written(tasks, value):
    with pytest.raises(ValueError, match="is not one of none, low, medium, high, urgent"):
        Task.objects.filter(priority=value)
    with pytest.raises(ValueError, match="is not one of"), transaction.atomic():
        Task.objects.update(priority=value)
    task = tasks["low"]
    task.priority = value
    with pytest.raises(ValueError, match="is not one of"), transaction.atomic():
        task.save()
    assert rank_in_table(task) == 1


@pytest.mark.parametrize("value", ["High", "", "4", 3, None])
def test_validation_names_the_field(tasks, value):
    task = tasks["low"]
    task.priority = value
    with pytest.raises(ValidationError) as refused:
        task.full_clean()
    assert set(refused.value.message_dict) == {"priority"}


def test_to_python_takes_words_and_nothing_else():
    field = Task._meta.get_field("priority")
    assert field.to_python(None) is None
    assert field.to_python(Priority.URGENT) == "urgent"
    with pytest.raises(ValidationError, match="not a valid choice"):
        field.to_python("soon")


def test_every_kind_of_write(tasks):
    low = tasks["low"]
    low.priority = Priority.HIGH
    low.save(update_fields=["priority"])
    assert rank_in_table(low) == 3
    Task.objects.filter(pk=low.pk).update(priority="urgent")
    assert rank_in_table(low) == 4
    low.priority = "medium"
    Task.objects.bulk_update([low, *tasks.values()], ["priority"])
    assert rank_in_table(low) == 2
    Task.objects.filter(pk=low.pk).update(
        priority=Case(When(pk=low.pk, then=Value("none", output_field=RankedChoiceField(choices=Priority))))
    )
    assert rank_in_table(low) == 0
    Task.objects.filter(pk=low.pk).update(priority=F("priority"))
    assert rank_in_table(low) == 0
    made, same = Task.objects.bulk_create(
        Task(project=low.project, title="New", priority=word) for word in ("urgent", "none")
    )
    assert (rank_in_table(made), rank_in_table(same)) == (4, 0)
    assert rank_in_table(Task.objects.create(project=low.project, title="New")) == 0


def test_aggregates_give_words(tasks):
    assert Task.objects.aggregate(least=Min("priority"), most=Max("priority")) == {"least": "none", "most": "urgent"}
    per_priority = Task.objects.order_by("priority").values_list("priority").annotate(Count("pk"))
    assert list(per_priority) == [(word, 1) for word in WORDS]


def test_deferred_and_plain_values(tasks):
    task = Task.objects.only("title").get(pk=tasks["high"].pk)
    assert task.priority == "high"
    assert Task.objects.values("priority").get(pk=task.pk) == {"priority": "high"}
    assert task.get_priority_display() == "High"


@pytest.mark.parametrize("file_format", ["json", "jsonl", "python", "xml"])
def test_serializers_carry_words(tasks, file_format):
    dumped = serializers.serialize(file_format, Task.objects.order_by("pk"))
    assert "high" in str(dumped)
    before = {task.pk: word for word, task in tasks.items()}
    Task.objects.update(priority="none")
    for loaded in serializers.deserialize(file_format, dumped):
        loaded.save()
    assert dict(Task.objects.values_list("pk", "priority")) == before


def test_dumpdata_and_loaddata(tasks, tmp_path):
    file = tmp_path / "tasks.json"
    call_command("dumpdata", "django_pm", output=str(file), verbosity=0)
    dumped = [row["fields"] for row in json.loads(file.read_text()) if row["model"] == "django_pm.task"]
    assert sorted(row["priority"] for row in dumped) == ALPHABETICAL
    before = {task.pk: word for word, task in tasks.items()}
    Task.objects.all().delete()
    call_command("loaddata", str(file), verbosity=0)
    assert dict(Task.objects.values_list("pk", "priority")) == before


def test_the_admin_offers_and_filters_words(admin_client, tasks):
    page = admin_client.get("/admin/django_pm/task/?priority__exact=high")
    assert [task.priority for task in page.context["cl"].result_list] == ["high"]
    form = admin_client.get(f"/admin/django_pm/task/{tasks['urgent'].pk}/change/").content.decode()
    assert '<option value="urgent" selected>Urgent</option>' in form
    # A filter that somebody has typed by hand leads back to the list, as with any other column.
    assert admin_client.get("/admin/django_pm/task/?priority__exact=soon").status_code in {200, 302}


# In migrations


def test_a_clone_is_the_same_field():
    field = Task._meta.get_field("priority")
    name, path, args, kwargs = field.deconstruct()
    assert (name, path, args) == ("priority", "django_pm.models.fields.RankedChoiceField", [])
    assert [value for value, _label in kwargs["choices"]] == WORDS
    clone = field.clone()
    assert isinstance(clone, RankedChoiceField)
    assert (clone.words, clone.default) == (tuple(WORDS), "none")
    code, _imports = MigrationWriter.serialize(field)
    assert code.startswith("django_pm.models.fields.RankedChoiceField(choices=[('none', 'None'),")


def test_historical_models_speak_words_too(tasks):
    state = ProjectState()
    for model in (Project, Task):
        state.add_model(ModelState.from_model(model, exclude_rels=True))
    historical = state.apps.get_model("django_pm", "Task")
    assert historical is not Task
    assert words(historical.objects.order_by("priority")) == WORDS


@pytest.mark.postgres  # SQLite's schema editor does not work inside the transaction of a test
def test_a_further_choice_is_a_migration_without_a_change_of_the_table():
    def with_choices(choices):
        fields = [("id", models.AutoField(primary_key=True)), ("level", RankedChoiceField(choices=choices))]
        state = ProjectState()
        state.add_model(ModelState("testsite", "Level", fields))
        return state

    before, after = with_choices([("a", "A")]), with_choices([("a", "A"), ("b", "B")])
    changes = MigrationAutodetector(before, after)._detect_changes()
    (operation,) = changes["testsite"][0].operations
    with connection.schema_editor(collect_sql=True) as editor:
        operation.database_forwards("testsite", editor, before, after)
    assert [line for line in editor.collected_sql if not line.startswith("--")] == []
