"""Who gets which language: requests by what they ask for, mail and its pages by what its recipient has chosen."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Catalog
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import translation
from rest_framework.test import APIClient

from django_pm.mail.sending import send_queue
from django_pm.models import MailState, NotificationPreferences, Project
from django_pm.services import reminders, reports
from django_pm.services.unsubscribing import unsubscribe_url
from scripts import messages
from tests.api.support import new_task, send
from tests.factories import make_member, make_project, make_superuser, make_task, make_user

pytestmark = pytest.mark.django_db

SITE = "https://pm.example.com"
DUE = dt.datetime(2031, 5, 4, 14, tzinfo=dt.UTC)
GERMAN, ARABIC = "de", "ar"
UNKNOWN_FIELD = {GERMAN: "Unbekanntes Feld.", ARABIC: "حقل غير معروف.", "en": "Unknown field."}
REQUIRED = {
    GERMAN: "Dieses Feld ist zwingend erforderlich.",
    ARABIC: "هذا الحقل مطلوب.",
    "en": "This field is required.",
}
"""What Django REST framework says itself."""


@pytest.fixture
def negotiating(settings: Any) -> None:
    """The site asks each request for its language, as `docs/i18n.md` has it."""
    middleware = "django.middleware.locale.LocaleMiddleware"
    place = settings.MIDDLEWARE.index("django.middleware.common.CommonMiddleware")
    settings.MIDDLEWARE = [*settings.MIDDLEWARE[:place], middleware, *settings.MIDDLEWARE[place:]]


def asking(language: str) -> dict[str, str]:
    return {"Accept-Language": language}


@pytest.mark.usefixtures("negotiating")
class TestRequests:
    def test_errors_are_in_the_language_asked_for(self, api: APIClient) -> None:
        for language in (GERMAN, ARABIC, "en", ARABIC, GERMAN):  # none is kept for the next
            answer = send(api, "POST", "/projects/", {"colour": 1}, headers=asking(language))
            assert answer.json() == {"colour": [UNKNOWN_FIELD[language]], "name": [REQUIRED[language]]}
            assert answer["Content-Language"] == language
            assert "Accept-Language" in answer["Vary"]

    def test_so_are_those_of_the_policy(self, signed_in: Callable[[Any], APIClient], project: Project) -> None:
        viewer = signed_in(make_member(project, role="viewer").user)
        said = {}
        for language in (GERMAN, ARABIC, "en"):
            answer = send(viewer, "POST", "/tasks/", new_task(project), headers=asking(language))
            assert answer.status_code == 403
            said[language] = answer.json()["detail"]
        assert said == {
            GERMAN: "Sie dürfen das nicht hinzufügen (Aufgabe).",
            ARABIC: "لا يُسمح لك بإضافة هذا العنصر (مهمة).",
            "en": "You may not add this task.",
        }

    def test_and_those_of_parameters(self, api: APIClient) -> None:
        said = [api.get("/tasks/?overdue=x", headers=asking(each)).json()["overdue"][0] for each in (GERMAN, ARABIC)]
        assert said[0] == "Erwartet wird „true“ oder „false“."
        assert said[1] == "المتوقع «true» أو «false»."

    def test_a_language_that_is_not_there_is_the_sites(self, api: APIClient) -> None:
        answer = send(api, "POST", "/projects/", {}, headers=asking("tlh"))
        assert answer.json() == {"name": [REQUIRED["en"]]}

    def test_what_is_represented_is_the_same_for_all(self, api: APIClient, project: Project) -> None:
        """Also from the cache, which all languages have in common."""
        make_task(project, priority="none")
        for path in ("/tasks/", "/projects/", f"/projects/{project.pk}/events/", "/notification-preferences/"):
            assert len({api.get(path, headers=asking(each)).content for each in (GERMAN, ARABIC, "en", GERMAN)}) == 1

    def test_the_openapi_document_is_english_for_all(self, client: Any) -> None:
        bodies = {client.get("/schema/", headers=asking(each)).content for each in ("en", GERMAN, ARABIC)}
        assert len(bodies) == 1
        assert "Decides what “today” means for this project." in bodies.pop().decode()

    def test_the_page_around_it(self, client: Any) -> None:
        page = client.get("/docs/", headers=asking(ARABIC)).content.decode()
        assert '<html lang="ar" dir="rtl">' in page
        assert 'lang="en" dir="ltr"' in page, "its content stays what it is"
        assert "تتطلب هذه الصفحة JavaScript" in page

    @pytest.mark.parametrize(
        ("language", "task", "status"), [(GERMAN, "Aufgaben", "Ausstehend"), (ARABIC, "المهام", "قيد الانتظار")]
    )
    def test_the_admin(self, client: Any, project: Project, language: str, task: str, status: str) -> None:
        client.force_login(make_superuser())
        make_task(project)
        page = client.get(reverse("admin:django_pm_task_changelist"), headers=asking(language)).content.decode()
        assert task in page
        assert status in page
        assert ('dir="rtl"' in page) == (language == ARABIC)


def test_without_the_middleware_all_is_in_the_sites_language(api: APIClient, settings: Any) -> None:
    settings.LANGUAGE_CODE = GERMAN
    with translation.override(GERMAN):
        answer = send(api, "POST", "/projects/", {"name": "Mond", "colour": 1}, headers=asking(ARABIC))
    assert answer.json() == {"colour": [UNKNOWN_FIELD[GERMAN]]}


class TestMail:
    @pytest.fixture(autouse=True)
    def _site(self, settings: Any, time_machine: Any) -> None:
        settings.DJANGO_PM = {"SITE_URL": SITE}
        time_machine.move_to(DUE - dt.timedelta(hours=5), tick=False)

    def reader(self, language: str, zone: str = "UTC") -> Any:
        user = make_user(f"of-{language or 'none'}", email=f"{language or 'none'}@example.org")
        NotificationPreferences.objects.create(user=user, language=language, time_zone=zone, reports=True)
        return user

    def remind(self, sink: Any, *readers: Any) -> dict[str, Any]:
        """The message that each gets, by address."""
        for reader in readers:
            make_task(make_project(reader), title="Küche streichen", assignee=reader, due_date=DUE)
        assert reminders.queue_due() == len(readers)
        assert send_queue() == {MailState.SENT: len(readers)}
        return {message["To"].partition("@")[0]: message for message in sink.messages}

    @pytest.mark.parametrize("language_of_the_worker", ["en", GERMAN, ARABIC, None])
    def test_the_recipient_decides_and_not_the_worker(self, sink: Any, language_of_the_worker: str | None) -> None:
        reminders.phrases_in.cache_clear()
        with translation.override(language_of_the_worker):
            found = self.remind(sink, self.reader(GERMAN), self.reader(ARABIC), self.reader(""))
            assert translation.get_language() == language_of_the_worker
        assert {who: message["Subject"].strip() for who, message in found.items()} == {
            GERMAN: "Bald fällig: Küche streichen",
            ARABIC: "يقترب استحقاقها: Küche streichen",
            "none": "Due soon: Küche streichen",
        }

    def test_times_are_written_as_they_are_there(self, sink: Any) -> None:
        found = self.remind(sink, self.reader(GERMAN, "Europe/Berlin"), self.reader(ARABIC, "Africa/Cairo"))
        german, arabic = (found[each].get_body(("plain",)).get_content() for each in (GERMAN, ARABIC))
        assert "ist fällig am 4. Mai 2031 16:00 (CEST)." in german
        assert "مايو 4, 2031, 5 م (EEST)." in arabic, "with the digits 0 to 9, as Django has them"

    def test_arabic_reads_from_right_to_left(self, sink: Any) -> None:
        found = self.remind(sink, self.reader(GERMAN), self.reader(ARABIC))
        html = {each: found[each].get_body(("html",)).get_content() for each in (GERMAN, ARABIC)}
        assert '<html lang="ar" dir="rtl">' in html[ARABIC]
        assert '<html lang="de">' in html[GERMAN]
        assert "<bdi>Küche streichen</bdi>" in html[ARABIC]

    def test_a_report_too(self, sink: Any) -> None:
        project = make_project(self.reader(ARABIC), name="القمر")
        reports.make_today(actor=None, project=project)
        with translation.override(GERMAN):
            assert send_queue() == {MailState.SENT: 1}
        (message,) = sink.messages
        assert message["Subject"] == "القمر: تقرير 4 مايو، 2031"
        assert "اكتملت: 0" in message.get_body(("html",)).get_content()

    def test_the_page_that_ends_it_is_in_the_language_of_the_mail(self, client: Any, negotiating: None) -> None:
        for language, question in (
            (GERMAN, "Keine E-Mails dieser Art mehr?"),
            (ARABIC, "أتريد إيقاف هذا النوع من البريد؟"),
        ):
            path = unsubscribe_url(self.reader(language), "reminder").removeprefix(SITE)
            answer = client.get(path, headers=asking("en"))
            assert question in answer.content.decode()
            assert answer["Content-Language"] == language
            assert ('dir="rtl"' in answer.content.decode()) == (language == ARABIC)

    def test_where_paths_begin_with_the_language_so_do_links(self, sink: Any, client: Any, settings: Any) -> None:
        settings.ROOT_URLCONF = "tests.i18n.prefixed_urls"
        found = self.remind(sink, self.reader(GERMAN), self.reader(ARABIC), self.reader(""))
        for who, language in ((GERMAN, GERMAN), (ARABIC, ARABIC), ("none", "en-us")):
            assert f"{SITE}/{language}/notifications/unsubscribe/" in found[who]["List-Unsubscribe"]

    def test_who_has_chosen_none_gets_the_page_as_asked_for(self, client: Any, negotiating: None) -> None:
        path = unsubscribe_url(self.reader(""), "reminder").removeprefix(SITE)
        assert "Keine E-Mails dieser Art mehr?" in client.get(path, headers=asking(GERMAN)).content.decode()
        unknown = client.get(f"{path[:-3]}/", headers=asking(GERMAN))
        assert "Dieser Link ist nicht bekannt" in unknown.content.decode()


@pytest.mark.parametrize(
    ("number", "german", "arabic"),
    [
        (1, "1 überfällige Aufgabe", "مهمة متأخرة واحدة (1)"),
        (2, "2 überfällige Aufgaben", "مهمتان متأخرتان (2)"),
        (3, "3 überfällige Aufgaben", "3 مهام متأخرة"),
        (11, "11 überfällige Aufgaben", "11 مهمة متأخرة"),
        (100, "100 überfällige Aufgaben", "100 مهمة متأخرة"),
        (103, "103 überfällige Aufgaben", "103 مهام متأخرة"),
    ],
)
def test_numbers_have_the_form_of_the_language(number: int, german: str, arabic: str) -> None:
    for language, expected in ((GERMAN, german), (ARABIC, arabic)):
        with translation.override(language):
            subject = render_to_string("django_pm/mail/overdue_subject.txt", {"words": {"number": number}})
        assert subject.strip() == expected


def test_a_host_has_words_of_its_own(settings: Any, tmp_path: Path, api: APIClient) -> None:
    """As `docs/i18n.md` says: in a catalogue of the site's, which Django prefers to ours."""
    catalogue = Catalog(locale="de")
    catalogue.add("Unknown field.", "Kenne ich nicht.")
    folder = tmp_path / "de" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    (folder / "django.mo").write_bytes(messages.compiled(catalogue))
    settings.LOCALE_PATHS = [tmp_path]
    with translation.override(GERMAN):
        answer = send(api, "POST", "/projects/", {"colour": 1})
    assert answer.json() == {"colour": ["Kenne ich nicht."], "name": [REQUIRED[GERMAN]]}
