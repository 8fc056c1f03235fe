"""Digests: once for each day of their recipient, when the hour has come, of what was not read until then."""

from __future__ import annotations

import datetime as dt

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_pm.events.relay import relay_events
from django_pm.mail.sending import send_queue
from django_pm.models import Mail, MailKind, MailState, Notification, NotificationPreferences, Role
from django_pm.models.mail import KEPT_FOR
from django_pm.services import pruning, reminders, reports
from django_pm.services.notifications import digests, inbox, notices
from django_pm.services.pruning import prune
from tests import factories
from tests.inbox.test_mail import reachable

pytestmark = pytest.mark.django_db

MORNING = dt.datetime(2030, 5, 6, 6, 0, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)


@pytest.fixture
def clock():
    """The time of the test: `clock.move_to(instant)`."""
    with time_machine.travel(MORNING, tick=False) as traveller:
        yield traveller


@pytest.fixture
def ben(clock, people, told):
    """Somebody who wants all by digest at 7 o'clock."""
    ben = reachable(people("ben"))
    NotificationPreferences.objects.create(user=ben, digest_hour=7, channels={"assigned": ["in_app", "digest"]})
    told()
    Mail.objects.all().delete()
    return ben


def give(ben, project, title="Dig"):
    task = factories.make_task(project, title=title, assignee=ben)
    relay_events()
    return task


def sent(sink):
    sink.messages.clear()
    number = digests.queue_due()
    send_queue()
    texts = [message.get_body(["plain"]).get_content() for message in sink.messages]
    assert len(texts) <= number
    return texts


def test_once_at_the_persons_hour(sink, clock, ben, project):
    give(ben, project, "Early")
    assert sent(sink) == []
    clock.move_to(MORNING + HOUR)
    [text] = sent(sink)
    assert "Early" in text
    give(ben, project, "Late")
    clock.move_to(MORNING + 5 * HOUR)
    assert sent(sink) == [], "what came behind the hour waits for the next day"
    clock.move_to(MORNING + HOUR + DAY)
    [text] = sent(sink)
    assert "Late" in text
    assert "Early" not in text
    clock.move_to(MORNING + HOUR + 2 * DAY)
    assert sent(sink) == [], "nothing happened"


def test_a_schedule_that_was_off_only_delays(sink, clock, ben, project):
    give(ben, project)
    clock.move_to(MORNING + 3 * DAY + 4 * HOUR)
    assert len(sent(sink)) == 1


def test_a_later_hour_does_not_bring_a_second_one(sink, clock, ben, project):
    give(ben, project)
    clock.move_to(MORNING + HOUR)
    assert len(sent(sink)) == 1
    give(ben, project)
    NotificationPreferences.objects.update(digest_hour=12)
    clock.move_to(MORNING + 8 * HOUR)
    assert sent(sink) == []
    clock.move_to(MORNING + 8 * HOUR + DAY)
    assert len(sent(sink)) == 1


@pytest.mark.parametrize(
    ("meanwhile", "left"),
    [
        (lambda ben, project: inbox.mark_read(inbox.of(ben)), 0),
        (lambda ben, project: project.memberships.filter(user=ben).delete(), 0),
        (lambda ben, project: project.tasks.all().delete(), 0),
        (lambda ben, project: NotificationPreferences.objects.update(channels={"assigned": ["in_app"]}), 0),
        (lambda ben, project: None, 1),
    ],
    ids=["read", "lost", "gone", "off", "nothing"],
)
def test_what_happened_meanwhile(sink, clock, ben, project, meanwhile, left):
    give(ben, project)
    clock.move_to(MORNING + HOUR)
    assert digests.queue_due() == 1
    meanwhile(ben, project)
    send_queue()
    assert len(sink.messages) == left
    assert Mail.objects.get(kind=MailKind.DIGEST).state == (MailState.SENT if left else MailState.SKIPPED)


def test_by_task_and_with_a_bound(sink, clock, ben, project, monkeypatch):
    monkeypatch.setattr(digests, "MOST_ITEMS", 3)
    for number in range(5):
        give(ben, project, f"Dig {number}")
    clock.move_to(MORNING + HOUR)
    [text] = sent(sink)
    assert [number for number in range(5) if f"Dig {number}" in text] == [0, 1, 2]
    assert "And 2 more." in text


def test_what_a_digest_has_told_is_not_told_again_when_the_message_is_forgotten(sink, clock, ben, project):
    give(ben, project)
    clock.move_to(MORNING + HOUR)
    assert len(sent(sink)) == 1
    clock.move_to(MORNING + 2 * HOUR + KEPT_FOR)
    assert prune()["mail"] == 1
    assert Notification.objects.filter(recipient=ben, read_at__isnull=True).exists(), "kept for longer than the message"
    assert sent(sink) == []


@pytest.mark.parametrize("found_at_once", [4, 5, 6])
def test_messages_are_forgotten_in_pieces(clock, ben, project, monkeypatch, found_at_once):
    """Each of its own transaction, and not all read before the first goes."""
    monkeypatch.setattr(pruning, "PIECE", 2)
    monkeypatch.setattr(pruning, "FOUND_AT_ONCE", found_at_once)
    for number in range(5):
        Mail.objects.create(recipient=ben, kind="notice", occurrence=str(number), state=MailState.SENT)
    waiting = Mail.objects.create(recipient=ben, kind="notice", occurrence="waiting")
    clock.move_to(MORNING + HOUR + KEPT_FOR)
    with CaptureQueriesContext(connection) as captured:
        assert prune()["mail"] == 5
    deletes = [query["sql"] for query in captured if query["sql"].startswith("DELETE")]
    assert sum(Mail._meta.db_table in delete for delete in deletes) == 3
    assert list(Mail.objects.all()) == [waiting]


def test_a_comment_is_one_line_of_the_list(sink, clock, ben, project):
    NotificationPreferences.objects.update(channels={"assigned": [], "commented": ["digest"]})
    task = give(ben, project)
    factories.make_comment(task, content="Two things:\n\n- deep\n- wide " + "and so on " * 50)
    relay_events()
    clock.move_to(MORNING + HOUR)
    [text] = sent(sink)
    [line] = [line for line in text.splitlines() if line.startswith("- ")]
    assert line.startswith("- There is a new comment. Two things: - deep - wide and so on")
    assert line.endswith("…")


def test_the_bound_is_one_of_what_is_told(sink, clock, ben, project, monkeypatch):
    """What was taken back takes no room, and is not counted among the rest."""
    monkeypatch.setattr(digests, "MOST_ITEMS", 2)
    for number in range(3):
        give(ben, project, f"Taken {number}")
    project.tasks.update(assignee=None)
    give(ben, project, "Dig")
    clock.move_to(MORNING + HOUR)
    [text] = sent(sink)
    assert "Dig" in text
    assert "more." not in text


def test_the_log_is_asked_for_each_event_once(clock, ben, project, owner):
    """And not in each project for those of all the others too."""
    NotificationPreferences.objects.update(channels={"assigned": ["digest"], "commented": ["digest"]})
    for place in (project, *(factories.make_project(owner, {ben: Role.MEMBER}) for _each in range(3))):
        factories.make_comment(give(ben, place))
    relay_events()
    notifications = list(Notification.objects.filter(recipient=ben).exclude(reason="added"))
    with CaptureQueriesContext(connection) as captured:
        items = notices.read(notifications)
    assert all(item.event for item in items.values())
    asked = "".join(query["sql"] for query in captured).replace("-", "")
    assert [asked.count(each.event_uuid.hex) for each in notifications] == [1] * 8


@pytest.mark.parametrize(
    ("meanwhile", "expected"),
    [
        ({}, ["It is due on"]),
        ({"due_date": MORNING + 9 * HOUR}, []),
        ({"due_date": None}, []),
        ({"status": "completed"}, []),
        ({"assignee": None}, []),
    ],
    ids=["nothing", "moved", "without", "done", "taken"],
)
def test_due_soon_is_told_as_long_as_it_is(sink, clock, ben, project, meanwhile, expected):
    NotificationPreferences.objects.update(reminders=False, channels={"assigned": [], "due_soon": ["digest"]})
    task = factories.make_task(project, assignee=ben, due_date=MORNING + 8 * HOUR)
    reminders.queue_due()
    for name, value in meanwhile.items():
        setattr(task, name, value)
    task.save()
    clock.move_to(MORNING + HOUR)
    assert [words for text in sent(sink) for words in ("It is due on", "It was due on") if words in text] == expected


def test_a_date_that_was_moved_is_told_once(sink, clock, ben, project):
    NotificationPreferences.objects.update(reminders=False, channels={"assigned": [], "due_soon": ["digest"]})
    task = factories.make_task(project, assignee=ben, due_date=MORNING + 8 * HOUR)
    reminders.queue_due()
    task.due_date += HOUR
    task.save()
    reminders.queue_due()
    clock.move_to(MORNING + HOUR)
    [text] = sent(sink)
    assert text.count("due on") == 1


def test_what_was_due_before_the_digest_was_due(sink, clock, ben, project):
    NotificationPreferences.objects.update(reminders=False, channels={"assigned": [], "due_soon": ["digest"]})
    factories.make_task(project, assignee=ben, due_date=MORNING + HOUR / 2)
    reminders.queue_due()
    clock.move_to(MORNING + HOUR)
    [text] = sent(sink)
    assert "It was due on May 6, 2030, 6:30 a.m. (UTC)." in text


def test_a_report_is_that_of_its_day(sink, clock, people, told, project):
    """A digest is read the day after."""
    ada = reachable(people("ada", Role.MANAGER))
    NotificationPreferences.objects.create(user=ada, channels={"report_ready": ["digest"]})
    told()
    reports.make_today(actor=factories.make_superuser(), project=project)
    relay_events()
    Mail.objects.all().delete()
    clock.move_to(MORNING + DAY + 3 * HOUR)
    [text] = sent(sink)
    assert "The report of May 6, 2030 is ready." in text


def test_two_schedules_at_once_send_one(sink, clock, ben, project):
    give(ben, project)
    clock.move_to(MORNING + HOUR)
    assert digests.queue_due() + digests.queue_due() == 1
    assert Notification.objects.get(recipient=ben, reason="assigned").mail.kind == MailKind.DIGEST


def test_who_has_chosen_no_hour_has_the_sites(sink, clock, ben, project, settings):
    settings.DJANGO_PM = {"DIGEST_HOUR": 9}
    NotificationPreferences.objects.update(digest_hour=None, time_zone="Europe/Berlin")
    give(ben, project)
    clock.move_to(dt.datetime(2030, 5, 6, 6, 59, tzinfo=dt.UTC))
    assert sent(sink) == []
    clock.move_to(dt.datetime(2030, 5, 6, 7, 0, tzinfo=dt.UTC))
    assert len(sent(sink)) == 1


class TestOverdue:
    @pytest.fixture(autouse=True)
    def asking(self, ben):
        NotificationPreferences.objects.filter(user=ben).update(overdue_digest=True, channels={"assigned": []})

    def late(self, ben, project, title="Dig", **fields):
        return factories.make_task(
            project, title=title, assignee=ben, due_date=timezone.now() - fields.pop("by", DAY), **fields
        )

    def test_daily_while_there_are_any(self, sink, clock, ben, project):
        task = self.late(ben, project, "Dig")
        self.late(ben, project, "Done", status="completed")
        self.late(None, project, "Nobody's")
        clock.move_to(MORNING + HOUR)
        [text] = sent(sink)
        assert "Dig" in text
        assert "Done" not in text
        assert "Nobody" not in text
        assert sent(sink) == []
        clock.move_to(MORNING + HOUR + DAY)
        assert len(sent(sink)) == 1
        task.status = "completed"
        task.save()
        clock.move_to(MORNING + HOUR + 2 * DAY)
        assert sent(sink) == []

    def test_one_who_has_theirs_is_in_nobody_elses_way(self, sink, clock, ben, project, people):
        self.late(ben, project)
        clock.move_to(MORNING + HOUR)
        assert len(sent(sink)) == 1
        cleo = reachable(people("cleo"))
        NotificationPreferences.objects.create(user=cleo, digest_hour=7, overdue_digest=True)
        self.late(cleo, project)
        clock.move_to(MORNING + 2 * HOUR)
        assert len(sent(sink)) == 1
        assert sink.to() == [cleo.email]

    def test_what_is_due_after_the_hour_waits_for_the_next(self, sink, clock, ben, project):
        factories.make_task(project, assignee=ben, due_date=MORNING + 8 * HOUR)
        clock.move_to(MORNING + HOUR)
        assert sent(sink) == []
        clock.move_to(MORNING + 9 * HOUR)
        assert sent(sink) == [], "it was not overdue when the hour struck"
        clock.move_to(MORNING + HOUR + DAY)
        assert len(sent(sink)) == 1

    @pytest.mark.parametrize(("due", "number"), [(-1, 0), (0, 0), (1, 1)], ids=["after", "at", "before"])
    def test_the_hour_is_the_border(self, sink, clock, ben, project, due, number):
        second = dt.timedelta(seconds=1)
        factories.make_task(project, assignee=ben, due_date=MORNING + HOUR - due * second)
        clock.move_to(MORNING + 2 * HOUR)
        assert len(sent(sink)) == number

    def test_a_schedule_that_was_off_makes_up_for_the_last_hour(self, sink, clock, ben, project):
        """What it tells is what is overdue as it leaves."""
        factories.make_task(project, assignee=ben, title="Before", due_date=MORNING + 2 * DAY)
        factories.make_task(project, assignee=ben, title="After", due_date=MORNING + 3 * DAY + 3 * HOUR)
        clock.move_to(MORNING + 3 * DAY + 4 * HOUR)
        [text] = sent(sink)
        assert "Before" in text
        assert "After" in text
        assert sent(sink) == []

    def test_a_schedule_that_was_off_since_before_it_was_due(self, sink, clock, ben, project):
        factories.make_task(project, assignee=ben, due_date=MORNING + 3 * DAY + 3 * HOUR)
        clock.move_to(MORNING + 3 * DAY + 4 * HOUR)
        assert sent(sink) == []
        clock.move_to(MORNING + 4 * DAY + HOUR)
        assert len(sent(sink)) == 1

    def test_who_asks_for_it_after_the_hour(self, sink, clock, ben, project, people):
        """Is told at once of what has been overdue since before it, and else when the hour comes."""
        dora, cleo = reachable(people("dora")), reachable(people("cleo"))
        factories.make_task(project, assignee=cleo, due_date=MORNING)
        factories.make_task(project, assignee=dora, due_date=MORNING + 2 * HOUR)
        clock.move_to(MORNING + 3 * HOUR)
        assert sent(sink) == []
        for user in (cleo, dora):
            NotificationPreferences.objects.create(user=user, digest_hour=7, overdue_digest=True)
        assert len(sent(sink)) == 1
        assert sink.to() == [cleo.email]
        clock.move_to(MORNING + HOUR + DAY)
        assert len(sent(sink)) == 2

    def test_each_has_an_hour_of_their_own(self, sink, clock, ben, project, people):
        cleo = reachable(people("cleo"))
        NotificationPreferences.objects.create(user=cleo, digest_hour=9, overdue_digest=True)
        for user in (ben, cleo):
            factories.make_task(project, assignee=user, due_date=MORNING + 2 * HOUR)
        clock.move_to(MORNING + 4 * HOUR)
        assert len(sent(sink)) == 1
        assert sink.to() == [cleo.email]

    def test_with_a_bound(self, sink, clock, ben, project, monkeypatch):
        """Of each person's, and only as many are read in full; what they do not see takes no room."""
        monkeypatch.setattr(digests, "MOST_ITEMS", 3)
        hidden = factories.make_project()
        for number in range(5):
            self.late(ben, hidden, f"Hidden {number}", by=10 * DAY)
            self.late(ben, project, f"Dig {number}", by=(9 - number) * DAY)
        clock.move_to(MORNING + HOUR)
        assert digests.queue_due() == 1
        with CaptureQueriesContext(connection) as captured:
            [overdue] = digests.still_overdue(list(Mail.objects.all()), timezone.now()).values()
        assert [task.title for task in overdue.tasks] == ["Dig 0", "Dig 1", "Dig 2"]
        assert overdue.more == 2
        full = [query["sql"] for query in captured if '"description"' in query["sql"]]
        assert len(full) == 1
        keys = {str(task.pk) for task in overdue.tasks}
        assert set(full[0].rpartition('"id" IN (')[2].partition(")")[0].split(", ")) == keys

    def test_what_is_completed_before_it_leaves(self, sink, clock, ben, project):
        task = self.late(ben, project)
        clock.move_to(MORNING + HOUR)
        assert digests.queue_due() == 1
        task.status = "completed"
        task.save()
        send_queue()
        assert sink.messages == []
        assert Mail.objects.get(kind=MailKind.OVERDUE).reason == "Nothing is overdue any more."

    def test_what_is_not_seen_any_more(self, sink, clock, ben, project, people):
        elsewhere = factories.make_project(people("ada"), {ben: Role.MEMBER})
        self.late(ben, project, "Here")
        self.late(ben, elsewhere, "There")
        elsewhere.memberships.filter(user=ben).delete()
        clock.move_to(MORNING + HOUR)
        [text] = sent(sink)
        assert "Here" in text
        assert "There" not in text

    def test_the_link_ends_it(self, sink, clock, ben, project, settings, anonymous):
        settings.DJANGO_PM = {"SITE_URL": "https://pm.example.com"}
        self.late(ben, project)
        clock.move_to(MORNING + HOUR)
        sent(sink)
        [message] = sink.messages
        assert message["Subject"] == "1 overdue task"
        anonymous.post(message["List-Unsubscribe"].strip("<>").removeprefix("https://pm.example.com"))
        clock.move_to(MORNING + HOUR + DAY)
        assert sent(sink) == []


def test_the_link_of_a_digest_ends_all_of_it(sink, clock, ben, project, settings, anonymous):
    settings.DJANGO_PM = {"SITE_URL": "https://pm.example.com"}
    give(ben, project)
    clock.move_to(MORNING + HOUR)
    sent(sink)
    [message] = sink.messages
    anonymous.post(message["List-Unsubscribe"].strip("<>").removeprefix("https://pm.example.com"))
    give(ben, project)
    clock.move_to(MORNING + HOUR + DAY)
    assert sent(sink) == []
    assert NotificationPreferences.objects.get(user=ben).channels["assigned"] == ["in_app"]
