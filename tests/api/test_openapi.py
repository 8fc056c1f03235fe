"""The OpenAPI document is valid, tells of exactly the contract, and is true; the page that shows it stays at home."""

import json
import re
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from html.parser import HTMLParser
from pathlib import Path

import pytest
from django import urls
from django.core.signals import setting_changed
from django.utils import translation
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.settings import spectacular_settings
from drf_spectacular.views import SpectacularAPIView
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from rest_framework import serializers
from rest_framework.generics import CreateAPIView
from rest_framework.test import APIRequestFactory

from django_pm.api.base import BaseAPIView
from django_pm.api.schema import SchemaView, only_django_pm
from django_pm.models import Notification
from django_pm.services.reports import make_today
from tests.api.support import new_task, send, shown
from tests.factories import make_comment, make_member, make_rule, make_task, make_token, make_user

COMMITTED = Path(__file__).resolve().parents[2] / "docs" / "openapi.json"
ONLY_OURS = "django_pm.api.schema.only_django_pm"
OPERATIONS = {
    "/projects/": {"get", "post"},
    "/projects/{id}/": {"get", "put", "patch", "delete"},
    "/tasks/": {"get", "post"},
    "/tasks/{id}/": {"get", "put", "patch", "delete"},
    "/tasks/{task_id}/comments/": {"get", "post"},
    "/comments/{id}/": {"get", "put", "patch", "delete"},
    "/projects/{project_id}/members/": {"get", "post"},
    "/projects/{project_id}/members/{id}/": {"get", "patch", "delete"},
    "/projects/{project_id}/events/": {"get"},
    "/projects/{project_id}/reports/": {"get", "post"},
    "/projects/{project_id}/reports/{date}/": {"get"},
    "/projects/{id}/watch/": {"get", "put", "delete"},
    "/projects/{project_id}/notification-preferences/": {"get", "patch"},
    "/tasks/{id}/watch/": {"get", "put", "delete"},
    "/notifications/": {"get"},
    "/notifications/{id}/read/": {"post"},
    "/notifications/read-all/": {"post"},
    "/projects/{project_id}/rules/": {"get", "post"},
    "/projects/{project_id}/rules/{id}/": {"get", "put", "patch", "delete"},
    "/notification-preferences/": {"get", "patch"},
    "/notifications/ticket/": {"post"},
    "/tokens/": {"get", "post"},
    "/tokens/{id}/": {"get", "delete"},
}
PAGE_PARAMETERS = {"cursor", "page_size", "count", "ordering"}
FILTERS = {
    "/projects/": {"search"},
    "/tasks/": {"project", "status", "assignee", "priority", "due_before", "due_after", "overdue", "search"},
    "/tasks/{task_id}/comments/": set(),
    "/projects/{project_id}/members/": set(),
    "/projects/{project_id}/reports/": set(),
    "/projects/{project_id}/rules/": set(),
    "/tokens/": set(),
    "/notifications/": {"reason", "project", "unread"},
}


@pytest.fixture
def document(anonymous, db):
    response = anonymous.get("/schema/")
    assert response.status_code == 200
    return response.json()


class TestTheDocument:
    def test_is_openapi_3(self, document):
        assert document["openapi"].startswith("3.")
        validate(document)

    def test_is_the_committed_one(self, document, settings):
        """So that a change of the API shows in review, and clients can be generated without a site."""
        if settings.AUTH_USER_MODEL != "auth.User":
            pytest.skip("the types of user keys are the host's; the committed document tells of Django's own users")
        committed = COMMITTED.read_text(encoding="utf-8")
        renew = "docs/openapi.json is not what /schema/ answers. If the change is meant: make openapi"
        assert json.loads(committed) == document, renew
        assert committed == json.dumps(document, indent=2, ensure_ascii=False) + "\n", renew

    def test_promises_whole_answers(self, document):
        """A reader need not ask of each field whether it is there."""
        asked = {name for name in document["components"]["schemas"] if name.endswith("Request")}
        for name, schema in document["components"]["schemas"].items():
            if "properties" in schema and name not in asked:
                assert set(schema["required"]) == set(schema["properties"]) - {"count"}, name

    def test_names_what_generated_code_is_named_after(self, document):
        assert {"EventType", "ResetReason", "Status", "Priority", "Role", "Scope", "Condition", "Action"} <= set(
            document["components"]["schemas"]
        )
        assert not [name for name in document["components"]["schemas"] if name.endswith("Enum")]

    def test_types_keys_as_they_stand_in_a_body(self, document):
        [key] = [p for p in document["paths"]["/tasks/{id}/"]["get"]["parameters"] if p["in"] == "path"]
        assert key["schema"] == {"type": document["components"]["schemas"]["Task"]["properties"]["id"]["type"]}

    def test_leaves_the_path_of_a_hosts_view_alone(self):
        class Printout(BaseAPIView):
            def get(self, request, **keys):
                """Without a queryset, and with a key of the host's own."""

        patterns = [urls.path("projects/<str:project_id>/<slug:sheet>/<str:id>/", Printout.as_view())]
        document = SchemaGenerator(patterns=patterns).get_schema(public=True)
        [item] = document["paths"].values()
        types = {p["name"]: p["schema"]["type"] for p in item["get"]["parameters"]}
        assert types == {"project_id": "integer", "sheet": "string", "id": "string"}

    def test_keeps_to_the_words_of_its_version(self, document):
        """`nullable` was dropped in 3.1: a reader of 3.1 takes such a field for one that is never null."""
        if document["openapi"].startswith("3.1"):
            assert '"nullable"' not in str(document).replace("'", '"')

    def test_covers_the_contract_and_nothing_else(self, document):
        verbs = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}
        found = {path: set(item) & verbs for path, item in document["paths"].items()}
        assert found == OPERATIONS

    def test_names_the_parameters_of_each_list(self, document):
        for path, filters in FILTERS.items():
            parameters = document["paths"][path]["get"]["parameters"]
            names = {parameter["name"] for parameter in parameters if parameter["in"] == "query"}
            assert names == PAGE_PARAMETERS | filters

    def test_each_operation_has_a_name_of_its_own(self, document):
        names = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
        assert len(set(names)) == len(names)

    def test_is_the_same_for_everybody(self, anonymous, api, project):
        assert api.get("/schema/").content == anonymous.get("/schema/").content

    @pytest.mark.parametrize("asked", [{"lang": "de"}, {"version": "v7"}])
    def test_is_the_same_whatever_is_asked_for(self, anonymous, document, asked):
        """Also for those who come next: it is kept."""
        setting_changed.send(None, setting="DJANGO_PM", value={}, enter=True)
        assert anonymous.get("/schema/", asked).json() == document
        assert anonymous.get("/schema/").json() == document

    def test_is_made_once_and_anew_for_other_settings(self, anonymous, settings, monkeypatch):
        made = []
        monkeypatch.setattr(ONLY_OURS, lambda endpoints: made.append(1) or endpoints[:0])
        settings.DJANGO_PM = {**settings.DJANGO_PM, "API_TOKENS": False}
        for _ in range(3):
            anonymous.get("/schema/")
        assert len(made) == 1
        settings.DJANGO_PM = {**settings.DJANGO_PM, "API_TOKENS": True}
        anonymous.get("/schema/")
        assert len(made) == 2

    def test_comes_as_yaml_where_that_is_asked_for(self, anonymous, db):
        for _ in range(2):
            response = anonymous.get("/schema/", HTTP_ACCEPT="application/vnd.oai.openapi")
            assert response.status_code == 200
            assert response.content.startswith(b"openapi: 3.")
            assert response["Content-Disposition"] == 'inline; filename="django-pm.yaml"'
            assert anonymous.get("/schema/")["Content-Disposition"] == 'inline; filename="django-pm.json"'

    def test_is_true(self, document, api, project, owner):
        """Every answer to a good request is what the document says of it."""
        task = make_task(project, assignee=owner, created_by=owner)
        make_task(project, due_date=None, status="completed")
        comment, member = make_comment(task, owner), make_member(project)
        make_comment(task)
        report, _is_new = make_today(actor=owner, project=project)
        notification = Notification.objects.create(
            recipient=owner,
            reason="assigned",
            project_id=project.pk,
            task_id=task.pk,
            object_type="task",
            object_id=str(task.pk),
            event_uuid=uuid.uuid4(),
            actor_id=str(owner.pk),
        )
        keys = {
            "/projects/{id}/": {"id": project.pk},
            "/tasks/{id}/": {"id": task.pk},
            "/tasks/{task_id}/comments/": {"task_id": task.pk},
            "/comments/{id}/": {"id": comment.pk},
            "/projects/{project_id}/members/": {"project_id": project.pk},
            "/projects/{project_id}/members/{id}/": {"project_id": project.pk, "id": member.pk},
            "/projects/{project_id}/events/": {"project_id": project.pk},
            "/projects/{project_id}/reports/": {"project_id": project.pk},
            "/projects/{project_id}/reports/{date}/": {"project_id": project.pk, "date": report.date},
            "/projects/{project_id}/rules/": {"project_id": project.pk},
            "/projects/{project_id}/rules/{id}/": {"project_id": project.pk, "id": make_rule(project).pk},
            "/tokens/{id}/": {"id": make_token(owner).pk},
            "/projects/{id}/watch/": {"id": project.pk},
            "/projects/{project_id}/notification-preferences/": {"project_id": project.pk},
            "/tasks/{id}/watch/": {"id": task.pk},
            "/notifications/{id}/read/": {"id": notification.pk},
        }
        bodies = {
            "/projects/": {"name": "n"},
            "/projects/{id}/": {"name": "n"},
            "/tasks/": new_task(project, priority="low", metadata={"a": 1}),
            "/tasks/{id}/": new_task(project, status="in_progress"),
            "/tasks/{task_id}/comments/": {"content": "c"},
            "/comments/{id}/": {"content": "c", "author": "a"},
            "/projects/{project_id}/members/": {"user": shown(make_user()), "role": "viewer"},
            "/projects/{project_id}/members/{id}/": {"role": "manager"},
            "/projects/{project_id}/reports/": {"force": True},
            "/projects/{project_id}/rules/": {"name": "r", "condition": "overdue", "hours": 1, "action": "reassign"},
            "/projects/{project_id}/rules/{id}/": {
                "name": "r",
                "condition": "stuck",
                "hours": None,
                "status": "pending",
                "days": 1,
                "action": "notify",
                "role": "owner",
            },
            "/tokens/": {"name": "backup", "projects": [project.pk]},
            "/notification-preferences/": {"language": "en", "time_zone": "Asia/Tokyo", "digest_hour": 7},
            "/projects/{id}/watch/": {"level": "watching"},
            "/tasks/{id}/watch/": {"level": "muted"},
            "/projects/{project_id}/notification-preferences/": {"channels": {"commented": ["digest"]}},
            "/notifications/read-all/": {"up_to": 1},
            "/notifications/{id}/read/": None,
            "/notifications/ticket/": {},
        }
        for method in ("get", "post", "put", "patch"):
            for path in [path for path, methods in OPERATIONS.items() if method in methods]:
                operation = document["paths"][path][method]
                if "requestBody" in operation:
                    schema = operation["requestBody"]["content"]["application/json"]["schema"]
                    self.assert_valid(document, schema, bodies[path])
                for query in ("?page_size=1&count=true", "") if method == "get" else ("",):
                    url = path.format(**keys.get(path, {})) + query
                    response = send(api, method.upper(), url, bodies[path] if method != "get" else b"")
                    assert str(response.status_code) in operation["responses"], (method, path, response.content)
                    content = operation["responses"][str(response.status_code)]["content"]
                    self.assert_valid(document, content["application/json"]["schema"], response.json())

    @staticmethod
    def assert_valid(document, schema, value):
        with_components = {**schema, "components": document["components"]}
        errors = [
            f"{error.json_path}: {error.message}" for error in Draft202012Validator(with_components).iter_errors(value)
        ]
        assert not errors, (errors, value)


COLOURS = [("red", "Red"), ("grey", "Grey")]


class TestTheHostsOwn:
    """A host that describes its own API with drf-spectacular too, whose settings are the same for all threads."""

    @pytest.fixture(autouse=True)
    def _settings(self, monkeypatch):
        """As it wrote them; whatever is left behind is undone, and nothing is kept from before or for others."""
        for name in SchemaView.custom_settings:
            monkeypatch.setattr(spectacular_settings, name, getattr(spectacular_settings, name))
        monkeypatch.setattr(spectacular_settings, "_original_settings", {})
        monkeypatch.setattr(spectacular_settings, "TITLE", "Paint shop")
        monkeypatch.setattr(spectacular_settings, "ENUM_NAME_OVERRIDES", {"Paint": COLOURS})
        setting_changed.send(None, setting="DJANGO_PM", value={}, enter=True)

    @pytest.fixture
    def host_document(self):
        class Bucket(serializers.Serializer):
            colour = serializers.ChoiceField(choices=COLOURS)

        class Buckets(CreateAPIView):
            schema = AutoSchema()
            serializer_class = Bucket

        view = SpectacularAPIView.as_view(patterns=[urls.path("buckets/", Buckets.as_view())])

        def ask():
            with translation.override("en"):
                return view(APIRequestFactory().get("/host/schema/")).data

        return ask

    def test_is_its_own_after_two_of_ours_at_once(self, anonymous, host_document, monkeypatch):
        before = host_document()
        assert before["info"]["title"] == "Paint shop"
        assert set(before["paths"]) == {"/buckets/"}
        were = {name: getattr(spectacular_settings, name) for name in SchemaView.custom_settings}
        both = threading.Barrier(2)

        def meet(endpoints):
            """Go on when both are here, or when it is clear that the other waits somewhere else."""
            with suppress(threading.BrokenBarrierError):
                both.wait(1)
            return only_django_pm(endpoints)

        monkeypatch.setattr(ONLY_OURS, meet)
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda _: anonymous.get("/schema/"), range(2)))
        assert {answer.json()["info"]["title"] for answer in answers} == {"django-pm"}
        assert {name: getattr(spectacular_settings, name) for name in were} == were
        assert host_document() == before

    def test_names_of_choices_are_those_of_each(self, anonymous, host_document):
        """drf-spectacular notes for each language, once in the life of a process, what they are called."""
        for _ in range(2):
            assert "Paint" in host_document()["components"]["schemas"]
            setting_changed.send(None, setting="DJANGO_PM", value={}, enter=True)
            found = anonymous.get("/schema/").json()["components"]["schemas"]
            assert "WatchLevel" in found
            assert not [name for name in found if name.endswith("Enum")]


class Page(HTMLParser):
    """What a page loads and links, and whether it holds script or style of its own."""

    def __init__(self, text):
        super().__init__()
        self.loaded, self.linked, self.inline, self.open_tag = [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.open_tag = tag
        for name, value in attrs:
            if value == "data:,":  # an icon that is empty, so that browsers ask for none
                continue
            if name in {"src", "srcset", "data", "data-schema", "poster"} or (tag == "link" and name == "href"):
                self.loaded.append(value)
            elif name in {"href", "action"}:
                self.linked.append(value)
            elif name.startswith("on") or name == "style":
                self.inline.append(value)

    def handle_data(self, data):
        if self.open_tag in {"script", "style"} and data.strip():
            self.inline.append(data)


@pytest.mark.django_db
class TestThePage:
    @pytest.fixture
    def page(self, client):
        response = client.get("/docs/")
        assert (response.status_code, response["Content-Type"]) == (200, "text/html; charset=utf-8")
        return Page(response.content.decode())

    def test_loads_nothing_from_elsewhere(self, page):
        assert len(page.loaded) >= 4, "a style, the viewer, its start, the document"
        for url in page.loaded + page.linked:
            assert url.startswith("/"), url
            assert not url.startswith("//"), url

    def test_holds_no_inline_script_or_style(self, page):
        """So that a strict Content-Security-Policy can stand."""
        assert page.inline == []

    def test_its_assets_are_there(self, page, client):
        for url in page.loaded:
            response = client.get(url)
            assert response.status_code == 200, url
            assert len(response.content) > 20
            kind = "css" if url.endswith(".css") else "javascript" if url.endswith(".js") else "json"
            assert kind in response["Content-Type"], url

    def test_its_assets_load_nothing_from_elsewhere(self, page, client):
        for url in page.loaded:
            text = client.get(url).content.decode()
            if url.endswith(".css"):
                assert not re.findall(r"@import|url\(\s*(?!['\"]?(?:data:|#))[^)]*", text), url
            elif url.endswith(".js"):
                assert not re.findall(r"importScripts|import\(\s*['\"](?:https?:)?//", text), url
                if (
                    "bundle" not in url
                ):  # the viewer's own names many addresses (licences, namespaces) that it never loads
                    assert not re.findall(r"https?://|['\"]//", text), url

    def test_nothing_else_is_served_beside_them(self, client):
        for name in ("x.js", "..", "%2e%2e%2fapi_docs.html", "swagger-ui.css/", "", "swagger-ui.css%00"):
            assert client.get(f"/docs/{name}x").status_code == 404, name
        assert client.post("/docs/swagger-ui.css").status_code == 405
