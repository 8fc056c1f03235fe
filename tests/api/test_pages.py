"""The pages that people see say what their browser is to hold them to. That it does: tests/browser/test_policy.py."""

import re

import pytest

from django_pm.api.urls import urlpatterns
from django_pm.models import MailKind
from django_pm.services import unsubscribing
from tests import factories

NOTHING_ELSE = {"object-src": ["'none'"], "base-uri": ["'none'"], "frame-ancestors": ["'none'"]}


def replace_policy(get_response):
    """A middleware of a site that has a policy of its own."""

    def middleware(request):
        response = get_response(request)
        response["Content-Security-Policy"] = "default-src 'self'"
        return response

    return middleware


@pytest.fixture
def unsubscribe_path(db, settings):
    settings.DJANGO_PM = {**settings.DJANGO_PM, "SITE_URL": "https://pm.example.com"}
    url = unsubscribing.unsubscribe_url(factories.make_user(), MailKind.REMINDER)
    return url.removeprefix("https://pm.example.com")


@pytest.fixture
def answers(client, unsubscribe_path):
    """Every page in each of its states."""
    unknown = client.get("/notifications/unsubscribe/nonsense/")
    return [client.get("/docs/"), client.get(unsubscribe_path), client.post(unsubscribe_path), unknown]


def test_each_page_has_a_policy(answers):
    assert [answer.status_code for answer in answers] == [200, 200, 200, 404]
    for answer in answers:
        assert answer["Content-Type"] == "text/html; charset=utf-8"
        policy = {name: sources for name, *sources in map(str.split, answer["Content-Security-Policy"].split("; "))}
        assert policy["default-src"] in (["'none'"], ["'self'"])
        assert NOTHING_ELSE.items() <= policy.items()
        # Nothing inline, and nothing from elsewhere.
        assert {source for sources in policy.values() for source in sources} <= {"'none'", "'self'", "data:"}
        assert "data:" not in policy.get("script-src", policy["default-src"])


def test_there_are_no_other_pages(client, db):
    for pattern in urlpatterns:
        path = "/" + re.sub(r"<[^>]+>", "1", str(pattern.pattern))
        answer = client.get(path)
        if answer.headers.get("Content-Type", "").startswith("text/html"):
            # What is not there is told by Django's own page for that, or the site's.
            assert "Content-Security-Policy" in answer or path == "/docs/1", path


def test_a_site_may_have_a_policy_of_its_own(client, settings, db):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.replace_policy"]
    assert client.get("/docs/")["Content-Security-Policy"] == "default-src 'self'"


def test_an_address_that_is_a_credential_is_neither_kept_nor_told(client, unsubscribe_path):
    answer = client.get(unsubscribe_path)
    assert answer["Referrer-Policy"] == "no-referrer"
    assert "no-store" in answer["Cache-Control"]
