"""Escalation rules through both clients: what is sent, what is made of the answers, and that it fits the API."""

import datetime as dt
import json

import pytest

from django_pm.client import Changed, Client, Invalid, NotFound, Retry, Rule
from tests.client import answers
from tests.client.answers import LOST, body, in_turn, ok, refusal
from tests.client.conftest import Either
from tests.example.site import ROOT

URL = "https://site.example/api/projects/7/rules/"
LATE = {"name": "A day late", "condition": "overdue", "hours": 24, "action": "notify", "role": "manager"}


def test_one_is_read(asking):
    handler, got = in_turn(ok(answers.rule(colour="red"), ETag='"a.b"'))
    rule = asking(handler).do(lambda pm: pm.rules.get(7, 1))
    assert (got[0].method, str(got[0].url)) == ("GET", f"{URL}1/")
    assert (rule.id, rule.project, rule.hours, rule.role, rule.etag) == (1, 7, 24, "manager", '"a.b"')
    assert rule.created_at == dt.datetime(2031, 5, 4, 9, 26, 53, 589793, tzinfo=dt.UTC)
    assert rule.raw["colour"] == "red"
    assert isinstance(rule, Rule)


def test_it_is_made_once_though_an_answer_is_lost(asking):
    handler, got = in_turn(LOST, ok(answers.rule(), 201))
    asking(handler).do(lambda pm: pm.rules.create(7, **LATE))
    assert [(request.method, str(request.url), body(request)) for request in got] == [("POST", URL, LATE)] * 2
    assert len({request.headers["Idempotency-Key"] for request in got}) == 1


def test_it_is_changed_and_deleted_as_it_was_seen(asking):
    handler, got = in_turn(ok(answers.rule(), ETag='"a.b"'), ok(answers.rule(hours=5)), refusal(412))
    client = asking(handler)
    seen = client.do(lambda pm: pm.rules.get(7, 1))
    assert client.do(lambda pm: pm.rules.update(seen, hours=5)).hours == 5
    assert (got[1].method, str(got[1].url), body(got[1])) == ("PATCH", f"{URL}1/", {"hours": 5})
    with pytest.raises(Changed):
        client.do(lambda pm: pm.rules.delete(seen))
    assert [request.headers["If-Match"] for request in got[1:]] == ['"a.b"'] * 2


def test_the_fields_are_those_of_the_document():
    document = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))
    assert set(document["components"]["schemas"]["Rule"]["properties"]) == set(answers.rule())


# Against the example site


def test_on_a_real_site(kind, site):
    ben = Either(kind, site.url, auth=("ben", "demo"), trust_env=False, retry=Retry(attempts=2))
    with Client(site.url, auth=("ben", "demo"), trust_env=False) as pm:
        project = pm.projects.create(name="Fair")
    late = ben.do(lambda pm: pm.rules.create(project, **LATE))
    stuck = ben.do(
        lambda pm: pm.rules.create(
            project, name="Stuck", condition="stuck", status="pending", days=3, action="reassign", is_active=False
        )
    )
    assert ben.do(lambda pm: pm.rules.list(project)) == [late, stuck]
    changed = ben.do(lambda pm: pm.rules.update(late, action="raise_priority"))
    assert (changed.action, changed.role) == ("raise_priority", None)
    with pytest.raises(Changed):
        ben.do(lambda pm: pm.rules.update(late, hours=5))
    with pytest.raises(Invalid) as refused:
        ben.do(lambda pm: pm.rules.update(changed, days=5))
    assert set(refused.value.fields) == {"days"}
    ben.do(lambda pm: pm.rules.delete(changed))
    with pytest.raises(NotFound):
        ben.do(lambda pm: pm.rules.get(project, late))
    with Client(site.url, auth=("ben", "demo"), trust_env=False) as pm:
        pm.projects.delete(project.id)
