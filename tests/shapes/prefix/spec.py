"""Names, links, the document, its page and mail lead to where the site has put the API."""

import datetime as dt
import re

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from django_pm.mail.sending import send_queue
from django_pm.services.addresses import API, HEALTH, namespace_of
from django_pm.services.reminders import queue_due
from tests.factories import make_project, make_task, make_user

pytestmark = pytest.mark.django_db

HERE = "/api/v1/pm"


def test_names() -> None:
    assert namespace_of(API) == "site:v1:django_pm"
    assert reverse("site:v1:django_pm:task-detail", args=[7]) == f"{HERE}/tasks/7/"
    assert reverse(f"{namespace_of(HEALTH)}:alive") == "/ops/healthz"


def test_links_of_pages_and_of_the_feed(api, project) -> None:
    for _ in range(3):
        make_task(project)
    for path in ("/tasks/", f"/projects/{project.pk}/events/"):
        following, rows = f"{path}?page_size=1", 0
        while following:
            page = api.get(following).json()
            following, rows = page["next"], rows + len(page["results"])
            assert following is None or following.startswith(f"http://testserver{HERE}{path}?")
        assert rows >= 3


def test_a_path_without_its_slash_is_sent_on(api) -> None:
    answer = api.get("/tasks")
    assert (answer.status_code, answer["Location"]) == (301, f"{HERE}/tasks/")


def test_the_document_and_its_page(api) -> None:
    assert f"{HERE}/tasks/{{id}}/" in api.get("/schema/").json()["paths"]
    page = api.get("/docs/").content.decode()
    assert f'data-schema="{HERE}/schema/"' in page
    for path in re.findall(r'(?:src|href)="(/[^"]+)"', page):
        assert path.startswith(f"{HERE}/")
        assert api.get(path).status_code == 200


def test_the_link_in_mail_ends_it() -> None:
    owner = make_user(email="owner@example.org")
    make_task(make_project(owner), due_date=timezone.now() + dt.timedelta(hours=5))
    assert queue_due()
    send_queue()
    (message,) = mail.outbox
    link = message.extra_headers["List-Unsubscribe"].strip("<>")
    assert link.startswith(f"https://site.example{HERE}/notifications/unsubscribe/")
    assert Client().post(link.removeprefix("https://site.example")).status_code == 200
    make_task(make_project(owner), due_date=timezone.now() + dt.timedelta(hours=6))
    assert queue_due() == 0
