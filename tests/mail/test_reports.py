"""Reports by mail: what they say, to whom they leave and in which words, and to whom not any more."""

import datetime as dt
import xml.etree.ElementTree as ET  # what is parsed is our own

import pytest
from django.contrib.auth import get_user_model
from django.test import override_settings
from django.utils import translation

from django_pm.events.external import record_external_change
from django_pm.mail.letters import Letter, letters_for
from django_pm.mail.sending import send_queue
from django_pm.models import Mail, MailState, NotificationPreferences, Project, Report, Role
from django_pm.services.report_pages import chart
from django_pm.services.reports import make_due, make_today, rebuild
from tests.factories import make_comment, make_member, make_project, make_task, make_user

pytestmark = pytest.mark.django_db

NOW = dt.datetime(2031, 5, 4, 9, tzinfo=dt.UTC)
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)
SVG = "{http://www.w3.org/2000/svg}"
BLUE, GREEN = "#8fb4f5", "#2e9e6b"


@pytest.fixture(autouse=True)
def _now(time_machine):
    time_machine.move_to(NOW, tick=False)


@pytest.fixture(autouse=True)
def _site_url(settings):
    settings.DJANGO_PM = {"SITE_URL": "https://pm.example.com"}


def person(name, **preferences):
    """Somebody who wants reports."""
    user = make_user(name, **{get_user_model().get_email_field_name(): f"{name}@example.org"})
    NotificationPreferences.objects.create(user=user, **{"reports": True, **preferences})
    return user


@pytest.fixture
def ada():
    return person("ada")


@pytest.fixture
def project(ada, time_machine):
    time_machine.move_to(NOW - 20 * DAY, tick=False)
    project = make_project(ada, name="Moon base", time_zone="Asia/Tokyo")
    time_machine.move_to(NOW, tick=False)
    return project


@pytest.fixture
def fortnight(project, ada, time_machine):
    """Tasks by the day: how many were made, and how many completed, on each of the fourteen."""
    made, completed = [1, 0, 2, 4, 0, 0, 1, 3, 0, 0, 2, 0, 1, 3], [0, 1, 0, 2, 0, 0, 0, 4, 0, 0, 0, 0, 1, 2]
    tasks = []
    for day, (new, done) in enumerate(zip(made, completed, strict=True)):
        time_machine.move_to(NOW - (14 - day) * DAY, tick=False)
        tasks += [make_task(project, title=f"Task {day}.{number}", assignee=ada) for number in range(new)]
        for _ in range(done):
            task = tasks.pop(0)
            task.status = "completed"
            task.save()
    time_machine.move_to(NOW, tick=False)
    return made, completed


def sent(sink, project):
    """The one message that leaves, and its text and HTML."""
    make_today(actor=None, project=project)
    assert send_queue() == {MailState.SENT: 1}
    return read(sink.messages[-1])


def read(message):
    text, html = (message.get_body((kind,)).get_content().replace("\r\n", "\n") for kind in ("plain", "html"))
    return message, text, html


def outcome():
    mail = Mail.objects.get()
    return mail.state, mail.reason


class TestWhatItSays:
    def test_all_of_it(self, sink, project, ada, time_machine):
        time_machine.move_to(NOW - DAY, tick=False)
        dig = make_task(project, title="Dig", assignee=ada, priority="high", due_date=NOW + HOUR)
        make_task(project, title="Late", due_date=NOW - HOUR)
        make_task(project, title="Done", status="completed")
        make_comment(dig)
        time_machine.move_to(NOW, tick=False)
        message, text, html = sent(sink, project)
        assert (message["To"], message["Subject"]) == ("ada@example.org", "Moon base: report of May 4, 2031")
        for part in (text, html):
            assert "Moon base" in part
            assert "Dig" in part
            assert "May 3, 2031" in part
            assert "May 4, 2031, 10 a.m." in part
            assert "Hello " in part
            assert "(1 overdue)" in part
            assert "2 events" in part
        assert "- Created: 3\n- Completed: 1\n- Comments: 1\n" in text
        assert "- Open: 2\n- Overdue: 1\n- Completed: 1\n" in text
        assert "- Pending: 2\n- Completed: 1\n" in text
        assert "Due next (UTC):\n- Dig, May 4, 2031, 10 a.m.," in text
        assert "The last two weeks: created 3, completed 1\n- 05/03/2031: 3, 1\n" in text
        assert "May 3, 2031: created 3, completed 1, comments 1." in html

    def test_of_a_project_without_anything(self, sink, project):
        _message, text, html = sent(sink, project)
        assert "The last two weeks: created 0, completed 0\n\n--" in text
        assert "<svg" not in html
        for heading in ("Due next", "by assignee", "by priority", "By status", "Most active"):
            assert heading not in text
            assert heading not in html

    def test_what_was_wrong_is_said(self, sink, project):
        Project.objects.update(time_zone="Moon/Base")
        project.refresh_from_db()
        _message, text, html = sent(sink, project)
        assert "“Moon/Base” of the project is not known here" in text
        assert "“Moon/Base” of the project is not known here" in html

    def test_that_not_everything_is_known_is_said(self, sink, project, time_machine):
        time_machine.move_to(NOW - 3 * DAY, tick=False)
        record_external_change(project.pk)
        time_machine.move_to(NOW, tick=False)
        _message, text, html = sent(sink, project)
        assert "- 05/01/2031: 0, 0 (not everything is known)\n" in text
        assert "not everything is known" in html

    def test_of_an_assignee_without_an_account_or_a_name(self, sink, project):
        gone = make_user("gone")
        make_task(project, assignee=gone)
        make_task(project)
        make_today(actor=None, project=project)
        key = str(gone.pk)
        gone.delete()
        send_queue()
        _message, text, html = read(sink.messages[-1])
        assert f"- {key}: 1\n" in text
        assert "- Nobody: 1\n" in text
        assert f"<bdi>{key}</bdi>" in html

    def test_no_line_is_empty_for_long_and_no_tag_is_left(self, sink, project, fortnight):
        _message, text, _html = sent(sink, project)
        assert "\n\n\n" not in text
        for left in ("{%", "{{", "<", "&#", "&amp;"):
            assert left not in text


class TestChart:
    def drawn(self, html):
        """The drawing, which is XML by itself."""
        return ET.fromstring(html[html.index("<svg") : html.index("</svg>") + 6])  # noqa: S314

    def test_a_bar_for_each_number(self, sink, project, fortnight):
        _message, _text, html = sent(sink, project)
        svg = self.drawn(html)
        days = svg.findall(f"{SVG}g")
        assert len(days) == 14
        height = 96
        for day, created, completed in zip(days, *fortnight, strict=True):
            bars = {bar.get("fill"): bar for bar in day.findall(f"{SVG}rect")}
            for colour, number in ((BLUE, created), (GREEN, completed)):
                assert int(bars[colour].get("height")) == round(height * number / 4)
                assert int(bars[colour].get("y")) + int(bars[colour].get("height")) == height
            assert f"created {created}, completed {completed}" in day.find(f"{SVG}title").text
        _x, _y, width, total = map(int, svg.get("viewBox").split())
        every = [bar for day in days for bar in day.findall(f"{SVG}rect")]
        assert all(0 <= int(bar.get("x")) <= width - int(bar.get("width")) for bar in every)
        assert total == height + 1
        lefts = [int(bar.get("x")) for bar in every if bar.get("fill") != "none"]
        assert lefts == sorted(set(lefts))

    @pytest.mark.parametrize("highest", [0, 1, 7, 10**9])
    def test_the_highest_fills_it(self, highest):
        trend = [{"date": "2031-05-03", "created": highest, "completed": 0, "comments": 0, "complete": True}]
        [day] = chart(trend)["days"]
        assert [bar["height"] for bar in day["bars"]] == [96 if highest else 0, 0]

    def test_in_words_too(self, sink, project, fortnight):
        """Some mail programs show no drawings."""
        _message, _text, html = sent(sink, project)
        assert f"Created: {sum(fortnight[0])}" in html
        assert f"Completed: {sum(fortnight[1])}" in html


class TestHostileTexts:
    NAME = '<b>Ben</b> & "Co"'

    @pytest.fixture
    def message(self, sink, project):
        user = make_user("ben", first_name=self.NAME) if hasattr(get_user_model(), "first_name") else make_user("ben")
        make_task(project, title="<script>alert(1)</script> & <b>dig</b>", assignee=user, due_date=NOW + DAY)
        Project.objects.update(name="<i>Moon</i>\r\nBcc: evil@example.org")
        project.refresh_from_db()
        return sent(sink, project)

    def test_are_escaped_in_html_and_only_there(self, message):
        _message, text, html = message
        for tag in ("<script", "<b>", "<i>"):
            assert tag not in html
        assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &lt;b&gt;dig&lt;/b&gt;" in html
        assert "<script>alert(1)</script> & <b>dig</b>" in text
        assert "<i>Moon</i>" in text

    def test_make_no_headers(self, message):
        found, _text, _html = message
        assert found["Bcc"] is None
        assert found["Subject"] == "<i>Moon</i> Bcc: evil@example.org: report of May 4, 2031"
        assert found.get_all("To") == ["ada@example.org"]

    def test_wrap(self, message):
        """No word is too long for the page."""
        assert "overflow-wrap:anywhere" in message[2]

    def test_controls_and_other_scripts(self, sink, project):
        make_task(project, title="ﷺ \u202e‮ 𝄞 \x0b\x1b[31m" + "é" * 200, due_date=NOW + DAY)
        message, text, _html = sent(sink, project)
        assert "𝄞" in text
        assert message.defects == []


class TestForWhom:
    def test_in_the_recipients_language_and_time_zone(self, sink, project, ada):
        NotificationPreferences.objects.filter(user=ada).update(language="de", time_zone="America/New_York")
        make_task(project, title="Dig", due_date=dt.datetime(2031, 5, 10, 2, tzinfo=dt.UTC))
        message, text, html = sent(sink, project)
        assert message["Subject"] == "Moon base: Bericht vom 4. Mai 2031"
        for part in (text, html):
            assert "9. Mai 2031 22:00" in part  # theirs
            assert "(Asia/Tokyo)" in part  # the project's
            assert "America/New_York" in part
        assert '<html lang="de">' in html
        assert translation.get_language() == "en-us"

    def test_from_right_to_left(self, sink, project, ada, fortnight):
        NotificationPreferences.objects.filter(user=ada).update(language="ar")
        _message, _text, html = sent(sink, project)
        assert '<html lang="ar" dir="rtl">' in html
        assert "<bdi>Moon base</bdi>" in html

    def test_one_that_has_no_priority_is_not_a_dash(self, sink, project, ada):
        """Django's admin has a word for “None” of its own."""
        NotificationPreferences.objects.filter(user=ada).update(language="de")
        make_task(project)
        _message, text, _html = sent(sink, project)
        assert "- Keine: 1\n" in text

    def test_each_gets_their_own(self, sink, project):
        make_member(project, person("bob", language="fr"), Role.MANAGER)
        make_member(project, person("cid"), Role.MEMBER)
        make_today(actor=None, project=project)
        assert send_queue() == {MailState.SENT: 2}
        assert {message["To"]: message["Subject"] for message in sink.messages} == {
            "ada@example.org": "Moon base: report of May 4, 2031",
            "bob@example.org": "Moon base: report of 4 mai 2031",
        }
        assert len(sink.sessions) == 1

    def test_all_of_a_project_belong_together(self, sink, project, ada, time_machine):
        other = make_project(ada, name="Mars base", time_zone="UTC")
        for day in range(3):
            time_machine.move_to(NOW + day * DAY, tick=False)
            make_today(actor=None, project=project)
            make_today(actor=None, project=other)
            send_queue()
        threads = {}
        for message in sink.messages:
            assert message["References"] == message["In-Reply-To"]
            threads.setdefault(message["Subject"].partition(":")[0], set()).add(message["References"])
        assert threads == {
            name: {f"<reports-of-project-{each.pk}@site.example>"}
            for name, each in {"Moon base": project, "Mars base": other}.items()
        }
        assert len({message["Message-ID"] for message in sink.messages}) == len(sink.messages) == 6

    def test_one_click_ends_reports_and_nothing_else(self, sink, project, ada, client):
        message, text, html = sent(sink, project)
        link = message["List-Unsubscribe"].strip(" <>")
        assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        assert link in text
        assert link in html
        path = link.removeprefix("https://pm.example.com")
        assert client.get(path).status_code == 200
        assert NotificationPreferences.objects.get(user=ada).reports
        assert client.post(path, {"List-Unsubscribe": "One-Click"}).status_code == 200
        chosen = NotificationPreferences.objects.get(user=ada)
        assert (chosen.reports, chosen.reminders) == (False, True)
        make_today(actor=None, project=project, now=NOW + DAY)
        assert Mail.objects.count() == 1


class TestNotAnyMore:
    @pytest.mark.parametrize("how", ["opted out", "removed", "demoted", "deactivated"])
    def test_what_happens_to_the_recipient_cancels_it(self, sink, project, ada, how):
        make_today(actor=None, project=project)
        if how == "opted out":
            NotificationPreferences.objects.filter(user=ada).update(reports=False)
        elif how == "removed":
            project.memberships.get(user=ada).delete()
        elif how == "demoted":
            project.memberships.filter(user=ada).update(role=Role.MEMBER)
        else:
            get_user_model().objects.filter(pk=ada.pk).update(is_active=False)
        assert send_queue() == {MailState.SKIPPED: 1}
        assert "not concerned any more" in outcome()[1]
        assert sink.messages == []

    def test_so_does_the_deletion_of_the_report_or_the_project(self, sink, project, ada):
        make_today(actor=None, project=project)
        Report.objects.all().delete()
        other = make_project(ada, time_zone="UTC")
        make_today(actor=None, project=other)
        other.delete()
        assert send_queue() == {MailState.SKIPPED: 2}
        assert set(Mail.objects.values_list("reason", flat=True)) == {"The report is gone."}

    def test_it_leaves_for_a_day_and_not_later(self, sink, project, time_machine):
        """The latest may be that of the next date by then, of which there is another message."""
        make_today(actor=None, project=project)
        reports_begin_again = dt.datetime(2031, 5, 5, 21, tzinfo=dt.UTC)  # six o'clock of the 6th in Tokyo
        mail = Mail.objects.get()
        for at, is_sent in ((reports_begin_again - HOUR, True), (reports_begin_again, False)):
            time_machine.move_to(at, tick=False)
            [letter] = letters_for([mail], at).values()
            assert isinstance(letter, Letter) is is_sent
        assert send_queue() == {MailState.SKIPPED: 1}
        assert outcome() == (MailState.SKIPPED, "A later report came before it could leave.")

    def test_one_that_was_made_early_leaves_at_its_hour(self, sink, project):
        early = dt.datetime(2031, 5, 4, 16, tzinfo=dt.UTC)  # one o'clock of the 5th in Tokyo
        make_today(actor=None, project=project, now=early)
        assert send_queue(now=early) == {}
        assert send_queue(now=early + 5 * HOUR) == {MailState.SENT: 1}
        assert sink.messages[0]["Subject"].endswith("May 5, 2031")

    def test_who_asks_again_in_time_gets_it_after_all(self, sink, project, ada):
        """What was cancelled is not sent later: the next report is."""
        make_today(actor=None, project=project)
        NotificationPreferences.objects.filter(user=ada).update(reports=False)
        send_queue()
        NotificationPreferences.objects.filter(user=ada).update(reports=True)
        make_due()
        assert send_queue() == {}


class TestAnew:
    def test_what_is_made_anew_before_it_leaves_is_what_is_sent(self, sink, project):
        report, _new = make_today(actor=None, project=project)
        make_task(project, title="Dug up meanwhile", due_date=NOW + DAY)
        rebuild(actor=None, report=report, now=NOW + HOUR)
        assert send_queue() == {MailState.SENT: 1}
        assert "Dug up meanwhile" in read(sink.messages[0])[1]

    def test_after_it_has_left_nothing_is_sent_again(self, sink, project):
        report, _new = make_today(actor=None, project=project)
        send_queue()
        rebuild(actor=None, report=report, now=NOW + HOUR)
        make_due()
        assert send_queue() == {}
        assert len(sink.messages) == 1


class TestTemplatesOfTheHost:
    @pytest.fixture
    def templates(self, tmp_path, settings):
        """`templates(name, text)`: the host's own version of one of the mail templates."""
        folder = tmp_path / "django_pm" / "mail"
        folder.mkdir(parents=True)
        with override_settings(TEMPLATES=[{**settings.TEMPLATES[0], "DIRS": [str(tmp_path)]}]):
            yield lambda name, text: (folder / name).write_text(text)

    def test_are_used(self, sink, project, templates):
        templates("report_subject.txt", "{{ report.date|date:'Y' }} {{ project.name }} {{ tasks.total }}")
        templates("report_chart.svg", "<p>{{ chart.days|length }} days</p>")
        make_task(project, created_at=NOW - 2 * DAY)
        project.tasks.update(title="Moved")
        make_task(project, title="New")
        message, _text, html = sent(sink, project)
        assert message["Subject"] == "2031 Moon base 2"
        assert "Due next" in html

    @pytest.mark.parametrize("broken", ["{% nonsense %}", "{{ report.date|add }}"])
    def test_a_broken_one_is_tried_again_and_in_nobodys_way(self, sink, project, templates, caplog, broken):
        make_member(project, person("bob", language="de"), Role.MANAGER)
        good = "{{ recipient_name }}"
        only_ada = "{% if recipient.email == 'ada@example.org' %}{% include 'broken.txt' %}{% endif %}"
        templates("report.txt", only_ada + good)
        templates("../../broken.txt", broken)
        make_today(actor=None, project=project)
        assert send_queue() == {MailState.WAITING: 1, MailState.SENT: 1}
        assert sink.to() == ["bob@example.org"]
        waiting = Mail.objects.get(state=MailState.WAITING)
        assert (waiting.recipient.email, waiting.attempts) == ("ada@example.org", 1)
        assert "Template" in waiting.reason
        assert "cannot be written" in caplog.text
        templates("../../broken.txt", "mended")
        Mail.objects.update(due_at=NOW)
        assert send_queue() == {MailState.SENT: 1}
        assert "mended" in read(sink.messages[1])[1]
