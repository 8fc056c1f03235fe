"""Reports through both clients: what is sent, what is made of the answers, and that it fits the API as it is."""

import copy
import datetime as dt
import json
import typing

import pytest

from django_pm.client import (
    Client,
    Invalid,
    NotAllowed,
    NotFound,
    Report,
    Retry,
    ServerError,
    UnexpectedAnswer,
    objects,
)
from tests.client import answers
from tests.client.answers import LOST, body, in_turn, ok, refusal
from tests.client.conftest import Either
from tests.example.site import ROOT

URL = "https://site.example/api/projects/7/reports/"
SCHEMA = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))["components"]["schemas"]["Report"]


def test_one_is_asked_for_by_its_date(asking):
    for date in (dt.date(2031, 5, 4), "2031-05-04", dt.datetime(2031, 5, 4, 9, tzinfo=dt.UTC)):
        handler, got = in_turn(ok(answers.report(), ETag='"a.b"'))
        report = asking(handler).do(lambda pm, date=date: pm.reports.get(7, date))
        assert (got[0].method, str(got[0].url)) == ("GET", f"{URL}2031-05-04/")
        assert report.date == dt.date(2031, 5, 4)
        assert report.generated_at == dt.datetime(2031, 5, 4, 9, 26, 53, 589793, tzinfo=dt.UTC)
        assert (report.project, report.time_zone, report.note, report.etag) == (7, "Asia/Tokyo", "", '"a.b"')
        assert report.data["tasks"]["open"] == 2


def test_it_is_typed_frozen_and_tells_what_is_new(asking):
    handler, _got = in_turn(ok(answers.report(colour="red")))
    report = asking(handler).do(lambda pm: pm.reports.get(7, "2031-05-04"))
    assert isinstance(report, Report)
    assert report.raw["colour"] == "red"
    with pytest.raises(AttributeError):
        report.note = "Other"
    assert hash(report) == hash(copy.deepcopy(report))


def test_the_list_is_fetched_page_by_page(asking):
    first = {"next": f"{URL}?cursor=WzFd", "results": [answers.report()]}
    second = {"next": None, "results": [answers.report(id=2, date="2031-05-03")]}
    handler, got = in_turn(ok(first), ok(second))
    found = asking(handler).do(lambda pm: pm.reports.list(7, page_size=1))
    assert [str(report.date) for report in found] == ["2031-05-04", "2031-05-03"]
    assert [dict(request.url.params) for request in got] == [{"page_size": "1"}, {"page_size": "1", "cursor": "WzFd"}]
    handler, got = in_turn(ok(first))
    asking(handler).do(lambda pm: pm.reports.list(7), most=1)
    assert got[0].url.params["page_size"] == "200"


@pytest.mark.parametrize("status", [200, 201])
@pytest.mark.parametrize("force", [False, True])
def test_it_is_made_or_there_already(asking, status, force):
    handler, got = in_turn(ok(answers.report(), status, ETag='"a.b"'))
    report = asking(handler).do(lambda pm: pm.reports.make(7, force=force))
    assert (got[0].method, str(got[0].url), body(got[0])) == ("POST", URL, {"force": force})
    assert (report.id, report.etag) == (1, '"a.b"')


def test_a_project_may_be_named_by_itself(asking):
    project = {
        **dict.fromkeys(("name", "description", "time_zone"), ""),
        "id": 7,
        "created_by": None,
        "task_count": 0,
        "completed_task_count": 0,
        "metadata": {},
        "created_at": answers.AT,
        "updated_at": answers.AT,
    }
    handler, got = in_turn(ok(project), ok(answers.report()))
    client = asking(handler)
    seen = client.do(lambda pm: pm.projects.get(7))
    client.do(lambda pm: pm.reports.make(seen))
    assert str(got[1].url) == URL


def test_an_answer_that_is_lost_is_asked_for_again(asking, time):
    """There is one for each date, so nothing is made twice."""
    handler, got = in_turn(LOST, refusal(503), refusal(409), ok(answers.report()))
    assert asking(handler).do(lambda pm: pm.reports.make(7)).id == 1
    assert len(got) == 4
    assert len(time.pauses) == 3


@pytest.mark.parametrize(
    ("status", "error", "perhaps"),
    [(400, Invalid, False), (403, NotAllowed, False), (404, NotFound, False), (500, ServerError, False)],
)
def test_refusals(asking, status, error, perhaps):
    handler, _got = in_turn(refusal(status))
    with pytest.raises(error) as raised:
        asking(handler).do(lambda pm: pm.reports.make(7))
    assert raised.value.perhaps_written is perhaps


@pytest.mark.parametrize("answer", [{"id": 1}, answers.report(date="soon"), answers.report(date=None), []])
def test_an_answer_that_is_no_report(asking, answer):
    handler, _got = in_turn(ok(answer))
    with pytest.raises(UnexpectedAnswer):
        asking(handler).do(lambda pm: pm.reports.get(7, "2031-05-04"))


@pytest.mark.parametrize("date", ["", "..", None])
def test_what_is_no_date_is_refused(asking, date):
    with pytest.raises(ValueError, match="No address"):
        asking(in_turn()[0]).do(lambda pm: pm.reports.get(7, date))


def test_the_types_are_those_of_the_document():
    """Each part of the data, by name; a part that is added there must be added here."""

    def compare(schema, annotation):
        if schema.get("type") == "array":
            compare(schema["items"], typing.get_args(annotation)[0])
        elif "properties" in schema:
            hints = typing.get_type_hints(annotation)
            assert set(hints) == set(schema["properties"]), annotation
            for name, part in schema["properties"].items():
                compare(part, hints[name])

    compare(SCHEMA["properties"]["data"], objects.ReportData)
    assert set(SCHEMA["properties"]) - {"force"} == set(answers.report())


# Against the example site


@pytest.fixture
def ben(kind, site):
    return Either(kind, site.url, auth=("ben", "demo"), trust_env=False, retry=Retry(attempts=2))


def test_on_a_real_site(ben, site):
    with Client(site.url, auth=("ben", "demo"), trust_env=False) as pm:
        project = pm.projects.create(name="Fair", time_zone="Pacific/Kiritimati")
        pm.tasks.create(project=project, title="Dig", due_date=dt.datetime.now(dt.UTC) + dt.timedelta(days=1))
    made = ben.do(lambda pm: pm.reports.make(project))
    assert made.time_zone == "Pacific/Kiritimati"
    assert made.data["due_next"][0]["title"] == "Dig"
    again = ben.do(lambda pm: pm.reports.make(project.id))
    assert (again, again.etag) == (made, made.etag)
    assert ben.do(lambda pm: pm.reports.list(project)) == [made]
    assert ben.do(lambda pm: pm.reports.get(project, made.date)) == made
    forced = ben.do(lambda pm: pm.reports.make(project, force=True))
    assert forced.generated_at > made.generated_at
    assert forced.etag != made.etag
    with pytest.raises(NotFound):
        ben.do(lambda pm: pm.reports.get(project, made.date - dt.timedelta(days=1)))
    with Client(site.url, auth=("ben", "demo"), trust_env=False) as pm:
        pm.projects.delete(project.id)
