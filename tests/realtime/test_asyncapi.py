"""The AsyncAPI document is the committed one, holds together, and tells of every frame there is.

What a socket of the suite sends or hears is held against it in `frames.py`; here each kind is brought about once.
"""

import datetime as dt
import json
import re

import pytest
from django.utils import timezone
from jsonschema import Draft7Validator

from django_pm.events import record_external_change
from django_pm.events.relay import relay_events
from django_pm.models import Comment, Membership, Project, Task
from django_pm.realtime import asyncapi, protocol
from django_pm.services.escalating import escalate
from django_pm.services.reports import make_today
from tests.api.test_openapi import COMMITTED as OPENAPI
from tests.factories import make_comment, make_member, make_project, make_rule, make_task, make_user
from tests.realtime import frames
from tests.realtime.frames import DOCUMENT, check

COMMITTED = OPENAPI.with_name("asyncapi.json")
PAGE = OPENAPI.with_name("realtime.md").read_text(encoding="utf-8")


class TestTheDocument:
    def test_is_the_committed_one(self):
        """The OpenAPI document that it is made from is compared with the site's in tests/api."""
        document = asyncapi.document(json.loads(OPENAPI.read_text(encoding="utf-8")))
        renew = "docs/asyncapi.json is not what the code says. If the change is meant: make openapi"
        assert COMMITTED.read_text(encoding="utf-8") == json.dumps(document, indent=2, ensure_ascii=False) + "\n", renew

    def test_every_reference_leads_somewhere(self):
        found = list(references(DOCUMENT))
        assert found
        for reference in found:
            place = DOCUMENT
            for part in reference.removeprefix("#/").split("/"):
                place = place[part]

    def test_every_schema_is_one(self):
        """AsyncAPI's own schemas are those of JSON Schema, draft 7."""
        for message in DOCUMENT["components"]["messages"].values():
            Draft7Validator.check_schema(message["payload"])
        for schema in DOCUMENT["components"]["schemas"].values():
            Draft7Validator.check_schema(schema)

    def test_every_message_has_its_direction(self):
        """None is told of without an operation that it belongs to."""
        sent = {
            (operation["action"], reference["$ref"].rpartition("/")[2])
            for operation in DOCUMENT["operations"].values()
            for reference in operation["messages"]
        }
        names = {name: message["name"] for name, message in DOCUMENT["components"]["messages"].items()}
        assert {(action, names[name]) for action, name in sent} == {
            ("receive" if kind in frames.FROM_CLIENT else "send", kind) for kind in frames.VALIDATORS
        }

    def test_the_page_tells_the_same(self):
        """Codes and kinds of frames, each way."""
        codes = re.findall(r"^\| ([\d, ]+) \|", PAGE, re.MULTILINE)
        assert set(DOCUMENT["channels"]["notifications"]["x-close-codes"]) == set(", ".join(codes).split(", "))
        kinds = set(re.findall(r'\{"type": "([\w.]+)"[,}]', PAGE)) | {"ping"}
        assert kinds - {"project", "task"} <= set(frames.VALIDATORS)
        assert {kind for kind in frames.VALIDATORS if "." not in kind} <= kinds

    @pytest.mark.parametrize(
        "frame",
        [
            {"type": "news"},
            {"type": "pong", "more": 1},
            {"type": "resumed"},
            {"type": "resumed", "replayed": -1},
            {"type": "reset", "project": 1, "head": 1, "epoch": "e", "reason": "moon"},
            {"type": "error", "code": "moon", "detail": ""},
            {"type": "ping"},
        ],
    )
    def test_the_judge_can_say_no(self, frame):
        with pytest.raises(AssertionError):
            check(frame)


def references(value):
    """Every `$ref` in a part of the document."""
    if isinstance(value, dict):
        for key, each in value.items():
            if key == "$ref":
                yield each
            else:
                yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


@pytest.mark.postgres
def test_each_kind_of_frame_comes_about(site, owner, project, monkeypatch):
    """The site can send all that the document promises; what it sends is judged where it is heard."""
    before = frames.seen.copy()
    frames.seen.clear()
    monkeypatch.setattr(protocol, "HEARTBEAT_SECONDS", 1)
    hidden = make_project()
    with site.socket(owner, query="?resume=true") as live:
        live.frame("welcome")
        live.send({"type": "resume", "since": {str(project.pk): 0, str(hidden.pk): 0}})
        live.frame("project.created")
        live.frame("member.added")
        assert live.frame("access_lost")["project"] == hidden.pk
        live.frame("resumed")

        live.send({"type": "ping"})
        live.frame("pong")
        live.send("{}")
        live.frame("error")

        member = make_member(project, make_user(), "viewer")
        Membership.objects.get(pk=member.pk).delete()
        member = make_member(project, make_user(), "viewer")
        member.role = "member"
        member.save()
        live.frames(4)
        task = make_task(project)
        task.title = "Fill"
        task.save()
        comment = make_comment(task)
        comment.content = "Why?"
        comment.save()
        Comment.objects.get(pk=comment.pk).delete()
        Task.objects.get(pk=task.pk).delete()
        live.frames(6)
        make_rule(project)
        make_task(project, due_date=timezone.now() - dt.timedelta(days=2))
        escalate()
        live.frame("task.created")
        live.frame("task.escalated")
        report, _new = make_today(actor=owner, project=project)
        key = report.pk
        report.delete()
        told = [live.frame(f"report.{what}")["object"] for what in ("generated", "deleted")]
        assert told == [{"type": "report", "id": key}] * 2
        Project.objects.filter(pk=project.pk).update(name="Mars")
        live.frame("project.updated")
        Task.objects.bulk_create([Task(project=project, title=str(number)) for number in range(1001)])
        live.events_until(lambda event: event["type"] == "project.resync")

        record_external_change(project.pk, type="task.escalated", object_type="task", object_id=1)
        live.frame("task.escalated")
        relay_events()  # whoever is told of something is told of what comes after this
        make_task(project, assignee=owner)
        relay_events()
        live.frame("task.created")
        live.frame("notification.created")

        make_member(hidden, owner)
        live.frame("access_gained")
        live.frame("heartbeat")
    with site.socket(owner, query="?resume=true") as late:
        late.frame("welcome")
        late.send({"type": "resume", "since": {str(project.pk): 10_000}, "epoch": None})
        late.frame("reset")
    assert set(frames.seen) == set(frames.VALIDATORS)
    frames.seen.update(before)
