"""The data of reports: a JSON column like any other, but for how many of them are inserted."""

import datetime as dt

import pytest
from django.db import connection, models
from django.db.models import Case, F, JSONField, Value, When
from django.test.utils import CaptureQueriesContext

from django_pm.models import Event, Report
from tests.factories import make_project

pytestmark = pytest.mark.django_db

NASTY = {"quotes": '"\'\\"', "braces": "{NULL,%s}", "text": "\u2028é\U0001f600", "nothing": None, "n": [1, 2.5, True]}
DATES = [dt.date(2031, 5, day) for day in range(1, 5)]


@pytest.fixture
def reports():
    project = make_project()
    rows = [Report(project=project, date=date, data={**NASTY, "day": date.day}) for date in DATES]
    return Report.objects.bulk_create(rows)


def stored():
    return list(Report.objects.order_by("date").values_list("data", flat=True))


def test_what_is_inserted_together_is_read_back(reports):
    assert stored() == [{**NASTY, "day": date.day} for date in DATES]
    told = Event.objects.filter(type="report.generated")
    assert [event.changes["data"] for event in told] == [{"omitted": True}] * len(DATES)


@pytest.mark.postgres
def test_none_is_part_of_an_array_that_has_to_be_quoted():
    with CaptureQueriesContext(connection) as captured:
        project = make_project()
        Report.objects.bulk_create([Report(project=project, date=date, data=NASTY) for date in DATES])
    [inserted] = [query["sql"] for query in captured if query["sql"].startswith('INSERT INTO "django_pm_report"')]
    assert "jsonb[]" not in inserted


def test_it_is_written_as_any_other_column(reports):
    first, second, third, fourth = reports
    first.data = {"saved": NASTY}
    first.save()
    Report.objects.filter(pk=second.pk).update(data={"updated": NASTY})
    third.data, fourth.data = {"together": NASTY}, {}
    Report.objects.bulk_update([third, fourth], ["data"])
    assert stored() == [{"saved": NASTY}, {"updated": NASTY}, {"together": NASTY}, {}]


def test_it_may_be_asked_for_and_computed(reports):
    assert Report.objects.filter(data__day=3).get().date == DATES[2]
    assert Report.objects.filter(data=NASTY | {"day": 2}).get().date == DATES[1]
    either = Case(When(date=DATES[0], then=Value({"now": 1}, JSONField())), default=F("data"))
    Report.objects.update(data=either)
    assert stored() == [{"now": 1}, *({**NASTY, "day": date.day} for date in DATES[1:])]


def test_migrations_take_it_for_a_json_column():
    _name, path, _args, kwargs = Report._meta.get_field("data").deconstruct()
    assert path == "django.db.models.JSONField"
    assert kwargs["default"] is dict
    assert isinstance(Report._meta.get_field("data"), models.JSONField)
