"""Every page does with it: nothing inline, nothing from elsewhere. In a browser: tests/browser/test_policy.py."""

from html.parser import HTMLParser

import pytest

from django_pm.models import MailKind
from django_pm.services.unsubscribing import unsubscribe_url
from tests.factories import make_comment, make_superuser, make_task
from tests.shapes.csp.middleware import POLICY

pytestmark = pytest.mark.django_db


class Refused(HTMLParser):
    """What a browser that is held to the policy would neither run, nor apply, nor load."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "style" or (tag == "script" and "src" not in given and given.get("type") != "application/json"):
            self.found.append(f"inline <{tag}>")
        for name, value in given.items():
            where = value or ""
            is_loaded = name == "src" or (name == "href" and tag == "link")
            is_here = where.startswith("/") and not where.startswith("//")
            is_picture = where.startswith("data:") and (tag == "img" or given.get("rel") == "icon")
            if name == "style" or name.startswith("on") or where.lower().startswith("javascript:"):
                self.found.append(f"{name}={where!r} of <{tag}>")
            elif is_loaded and not (is_here or is_picture):
                self.found.append(f"{where!r} from elsewhere")


def test_what_it_would_refuse_is_found() -> None:
    page = (
        """<style></style><script>1</script><p style="x" onclick="y"></p><img src="//cdn/x"><a href="javascript:z">"""
    )
    assert len(Refused(page).found) == 6


@pytest.fixture
def pages(client):
    """Ours, and the admin's of ours."""
    user = make_superuser()
    comment = make_comment(make_task(assignee=user))
    client.force_login(user)
    admin = "/admin/django_pm"
    return [
        "/docs/",
        unsubscribe_url(user, MailKind.REMINDER).removeprefix("https://site.example"),
        *(f"{admin}/{name}/" for name in ("project", "task", "comment", "membership", "event", "mail", "apitoken")),
        *(f"{admin}/{name}/add/" for name in ("project", "task")),
        f"{admin}/project/{comment.task.project_id}/change/",
        f"{admin}/task/{comment.task_id}/change/",
        f"{admin}/comment/{comment.pk}/change/",
    ]


def test_no_page_has_what_it_refuses(client, pages) -> None:
    for path in pages:
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert answer["Content-Security-Policy"] == POLICY
        assert Refused(answer.content.decode()).found == [], path
