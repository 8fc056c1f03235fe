"""Every response of the example site says what the browser is to hold it to."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.example.site import Site

NOTHING_ELSE = ("object-src 'none'", "base-uri 'none'", "frame-ancestors 'none'")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    # Not DEBUG: with it Django explains what is not found on a page with everything inline.
    site = Site(Path(tmp_path_factory.mktemp("demo")), DEBUG="0")
    site.must_manage("migrate", "--verbosity", "0")
    site.must_manage("demo_seed")
    site.must_manage("pm_run", "--once")
    with site.served():
        yield site


@pytest.mark.parametrize("user", ["", "ana"])
def test_every_page(site: Site, user: str) -> None:
    browser = site.browser()
    letter = ""
    if user:
        browser.ask("/accounts/login/")
        browser.ask("/accounts/login/", form={"username": user, "password": "demo"})
        letter = browser.ask("/mailbox/").text.split('<a href="/mailbox/')[2].split('"')[0]
    paths = ["/", "/live/", "/mailbox/", f"/mailbox/{letter}", "/accounts/login/", "/docs/", "/projects/", "/schema/"]
    paths += ["/admin/", "/admin/django_pm/mail/", "/admin/django_pm/task/add/", "/healthz", "/not/there/"]
    for path in paths:
        answer = browser.ask(path)
        policy = answer.headers["Content-Security-Policy"]
        for directive in NOTHING_ELSE:
            assert directive in policy, path
        if letter and path.endswith(letter):
            assert "style-src 'self' 'unsafe-inline'" in policy
            assert "script-src" not in policy
        else:
            assert "unsafe" not in policy, path
        assert answer.headers["X-Content-Type-Options"] == "nosniff", path
        assert answer.headers["Referrer-Policy"] in ("same-origin", "no-referrer"), path


def test_django_may_explain_an_error(site: Site) -> None:
    program = (
        "from django.test import Client; from django.conf import settings; settings.DEBUG = True\n"
        "answer = Client(raise_request_exception=False).get('/not/there/', headers={'host': '127.0.0.1'})\n"
        "print(answer.status_code, answer.headers.get('Content-Security-Policy'))"
    )
    assert "404 None" in site.must_manage("shell", "-v", "0", "-c", program, DEBUG="1")
