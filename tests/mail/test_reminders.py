"""Who is reminded of what, once; and what cancels it before it leaves."""

import datetime as dt

import pytest
from django.contrib.auth import get_user_model
from django.db import OperationalError, connection, connections
from django.template import engines

from django_pm import access
from django_pm.mail.sending import send_queue
from django_pm.models import Mail, MailState, NotificationPreferences, Project, Role, Task
from django_pm.services import reminders
from django_pm.services.reminders import queue_due
from tests.factories import make_member, make_project, make_superuser, make_task, make_user

pytestmark = pytest.mark.django_db

NOW = dt.datetime(2031, 5, 4, 9, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)


@pytest.fixture(autouse=True)
def _now(time_machine):
    time_machine.move_to(NOW, tick=False)


def person(name, **fields):
    return make_user(name, **{get_user_model().get_email_field_name(): f"{name}@example.org", **fields})


@pytest.fixture
def people():
    return {name: person(name) for name in ("owner", "manager", "member", "viewer", "assignee")}


@pytest.fixture
def project(people):
    roles = {people[name]: name for name in ("manager", "member", "viewer")}
    return make_project(people["owner"], {**roles, people["assignee"]: Role.MEMBER}, name="Moon base")


@pytest.fixture
def task(project, people):
    return make_task(project, title="Dig", assignee=people["assignee"], due_date=NOW + 5 * HOUR)


def queued():
    return sorted(mail.recipient.email.partition("@")[0] for mail in Mail.objects.select_related("recipient"))


class TestWhen:
    @pytest.mark.parametrize(
        ("hours", "is_reminded"), [(-1, False), (0, False), (0.01, True), (23.99, True), (24, True), (24.01, False)]
    )
    def test_within_a_day(self, task, hours, is_reminded):
        Task.objects.filter(pk=task.pk).update(due_date=NOW + hours * HOUR)
        assert queue_due() == is_reminded

    def test_not_once_it_is_completed(self, task):
        Task.objects.filter(pk=task.pk).update(status="completed")
        assert queue_due() == 0

    def test_not_without_a_due_date(self, task):
        Task.objects.filter(pk=task.pk).update(due_date=None)
        assert queue_due() == 0

    def test_once_however_often_one_looks(self, task, time_machine):
        assert [queue_due(), queue_due()] == [1, 0]
        time_machine.move_to(NOW + HOUR)
        assert queue_due() == 0

    def test_late_after_a_long_pause(self, task, time_machine):
        """Nobody looked for most of the day: it is reminded of all the same."""
        time_machine.move_to(NOW + 4.9 * HOUR)
        assert queue_due() == 1

    def test_what_is_due_first_leaves_first(self, project, people, sink):
        for number, hours in enumerate((5, 9, 1), 1):
            make_task(
                project, pk=98 + number, title=f"{hours}", assignee=people["assignee"], due_date=NOW + hours * HOUR
            )
        queue_due()
        send_queue()
        assert [message["Subject"][-1] for message in sink.messages] == ["1", "5", "9"]

    def test_again_when_it_is_moved(self, task):
        queue_due()
        Task.objects.filter(pk=task.pk).update(due_date=NOW + 6 * HOUR)
        assert queue_due() == 1
        Task.objects.filter(pk=task.pk).update(due_date=NOW + 5 * HOUR)
        assert queue_due() == 0


class TestWhom:
    def test_the_assignee(self, task):
        queue_due()
        assert queued() == ["assignee"]

    def test_else_owners_and_managers(self, task):
        Task.objects.filter(pk=task.pk).update(assignee=None)
        queue_due()
        assert queued() == ["manager", "owner"]

    def test_else_too_if_the_assignee_may_not_see_it(self, task, project, people):
        project.memberships.get(user=people["assignee"]).delete()
        queue_due()
        assert queued() == ["manager", "owner"]

    def test_nobody_who_is_deactivated(self, task, people):
        get_user_model().objects.filter(pk=people["assignee"].pk).update(is_active=False)
        get_user_model().objects.filter(pk=people["owner"].pk).update(is_active=False)
        queue_due()
        assert queued() == ["manager"]

    def test_nobody_if_the_assignee_has_opted_out(self, task, people):
        NotificationPreferences.objects.create(user=people["assignee"], reminders=False)
        assert queue_due() == 0

    def test_a_superuser_who_is_assigned_without_being_a_member(self, task):
        Task.objects.filter(pk=task.pk).update(assignee=make_superuser("root", email="root@example.org"))
        queue_due()
        assert queued()[0].startswith("root")

    def test_both_when_it_is_reassigned(self, task, people):
        """The first one's is cancelled when it leaves."""
        queue_due()
        Task.objects.filter(pk=task.pk).update(assignee=people["member"])
        queue_due()
        assert queued() == ["assignee", "member"]


class TestLeaving:
    def outcome(self):
        mail = Mail.objects.get(recipient__email="assignee@example.org")
        return mail.state, mail.reason

    def test_it_says_what_is_due(self, task, sink):
        queue_due()
        assert send_queue() == {MailState.SENT: 1}
        assert queue_due() == 0
        assert send_queue() == {}
        (message,) = sink.messages
        assert (message["To"], message["Subject"]) == ("assignee@example.org", "Due soon: Dig")
        for part in ("plain", "html"):
            text = message.get_body((part,)).get_content()
            assert "Dig" in text
            assert "Moon base" in text
            assert "May 4, 2031, 2 p.m." in text
        mail = Mail.objects.get()
        assert (mail.state, mail.attempts, mail.sent_at) == (MailState.SENT, 1, NOW)
        assert str(mail.message_id) in message["Message-ID"]

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"status": "completed"}, "completed"),
            ({"due_date": NOW + 7 * HOUR}, "another time"),
            ({"due_date": None}, "another time"),
            ({"assignee": None}, "not concerned"),
        ],
    )
    def test_a_change_of_the_task_cancels_it(self, task, sink, change, reason):
        queue_due()
        Task.objects.filter(pk=task.pk).update(**change)
        assert send_queue() == {MailState.SKIPPED: 1}
        assert self.outcome()[0] == MailState.SKIPPED
        assert reason in self.outcome()[1]
        assert sink.messages == []

    def test_so_does_its_deletion(self, task, sink):
        queue_due()
        task.delete()
        send_queue()
        assert self.outcome() == (MailState.SKIPPED, "The task is gone.")

    @pytest.mark.parametrize("how", ["removed", "deactivated", "opted out"])
    def test_so_does_what_happens_to_the_recipient(self, task, people, sink, how):
        queue_due()
        assignee = people["assignee"]
        if how == "removed":
            task.project.memberships.get(user=assignee).delete()
        elif how == "deactivated":
            get_user_model().objects.filter(pk=assignee.pk).update(is_active=False)
        else:
            NotificationPreferences.objects.create(user=assignee, reminders=False)
        send_queue()
        assert self.outcome()[0] == MailState.SKIPPED
        assert sink.messages == []

    @pytest.mark.parametrize("how", ["reopened", "given back", "moved back"])
    def test_what_is_undone_in_time_is_reminded_of(self, task, people, sink, how):
        field, other = {
            "reopened": ("status", "completed"),
            "given back": ("assignee", people["member"]),
            "moved back": ("due_date", NOW + 30 * HOUR),
        }[how]
        before = getattr(task, field)
        queue_due()
        Task.objects.filter(pk=task.pk).update(**{field: other})
        send_queue()
        assert self.outcome()[0] == MailState.SKIPPED
        Task.objects.filter(pk=task.pk).update(**{field: before})
        assert queue_due() == 1
        assert queue_due() == 0
        send_queue()
        assert self.outcome() == (MailState.SENT, "")
        assert sink.to() == ["assignee@example.org"]

    def test_too_late(self, task, sink, time_machine):
        queue_due()
        time_machine.move_to(NOW + 5 * HOUR)
        send_queue()
        assert self.outcome() == (MailState.SKIPPED, "The task was due before the reminder could leave.")


def test_the_number_of_statements_does_not_depend_on_tasks_or_projects(people, django_assert_max_num_queries):
    def make(count):
        for _ in range(count):
            project = make_project(people["owner"], {people["member"]: Role.MEMBER})
            make_task(project, due_date=NOW + HOUR, assignee=people["member"])
            make_task(project, due_date=NOW + HOUR)

    at_most = 12 + 2  # in the test's transaction, there is a savepoint around them
    make(2)
    with django_assert_max_num_queries(at_most):
        assert queue_due() == 4
    make(20)
    with django_assert_max_num_queries(at_most):
        assert queue_due() == 40


def test_viewers_and_members_are_not_reminded_of_what_nobody_has(people):
    project = make_project(people["owner"])
    make_member(project, people["member"], Role.MEMBER)
    make_member(project, people["viewer"], Role.VIEWER)
    make_task(project, due_date=NOW + HOUR)
    queue_due()
    assert queued() == ["owner"]


def test_a_policy_that_fails_over_one_is_in_nobody_elses_way(monkeypatch, caplog):
    tasks = [
        make_task(make_project(owner := person(f"o{number}")), assignee=owner, due_date=NOW + HOUR)
        for number in range(5)
    ]
    asked = access.visible_to_each

    def fail(users):
        if tasks[3].assignee_id in set(users := list(users)):
            raise ValueError("broken")
        return asked(users)

    monkeypatch.setattr(access, "visible_to_each", fail)
    assert queue_due() == 4
    assert f"Nobody can say whom to remind of task {tasks[3].pk}." in caplog.text
    monkeypatch.undo()
    assert queue_due() == 1


def from_a_replica(made):
    return classmethod(lambda cls, _db, *row, **options: made(cls, "replica", *row, **options))


def test_tasks_from_a_replica_and_mail_from_the_primary(task, monkeypatch):
    """A router that says nothing of relations between databases refuses them; no reminder is to depend on that."""
    queue_due()
    for model in (Task, Project):
        monkeypatch.setattr(model, "from_db", from_a_replica(model.from_db.__func__))
    (verdict,) = reminders.still_due(list(Mail.objects.select_related("recipient")), NOW).values()
    assert verdict == task


def test_templates_may_ask_whether_there_are_words(task):
    template = engines["django"].from_string("{% if words %}{{ words.status }}{% endif %}")
    assert template.render({"words": reminders.Words(task)}) == "Pending"


class TestAQuestionThatTakesTooLong:
    """The database gives it up, and answers the others."""

    @pytest.fixture
    def tasks(self, people):
        return [
            make_task(make_project(people["owner"]), title=title, due_date=NOW + 5 * HOUR) for title in ("a", "b", "c")
        ]

    def test_one_task_is_in_nobodys_way(self, tasks, monkeypatch, caplog):
        concerned_by = reminders.concerned_by

        def slow(dues):
            if any(due.task_id == tasks[1].pk for due in dues):
                raise OperationalError("canceling statement due to statement timeout")
            return concerned_by(dues)

        monkeypatch.setattr(reminders, "concerned_by", slow)
        assert queue_due() == 2
        assert f"Nobody can say whom to remind of task {tasks[1].pk}" in caplog.text
        monkeypatch.undo()
        assert queue_due() == 1

    @pytest.mark.postgres
    def test_nor_in_that_of_the_transaction_around_it(self, tasks, monkeypatch, caplog):
        concerned_by = reminders.concerned_by

        def slow(dues):
            if any(due.task_id == tasks[1].pk for due in dues):
                with connection.cursor() as cursor:
                    cursor.execute("SELECT pg_sleep(10)")
            return concerned_by(dues)

        monkeypatch.setattr(reminders, "concerned_by", slow)
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = '50ms'")
        assert queue_due() == 2

    def test_a_database_that_is_away_is_told_of_at_once(self, tasks, monkeypatch):
        asked = []

        def away(dues):
            asked.append(dues)
            raise OperationalError("server closed the connection unexpectedly")

        monkeypatch.setattr(reminders, "concerned_by", away)
        monkeypatch.setattr(type(connections["default"]), "is_usable", lambda connection: False)
        with pytest.raises(OperationalError):
            queue_due()
        assert len(asked) == 1
