"""One reminder for each due date, in whatever zone, whenever somebody looks, and whatever the clock did meanwhile.

What is due is a question to the clock of whoever looks. A look that falls, by its own clock, within the 24 hours before
the due date leaves one message about it, which is sent once; none leaves later. A message that was queued by a clock
that was ahead waits until others show that time, and no longer. `PM_LONG_TESTS=1` makes it 50,000 cases instead of 500.
"""

import datetime as dt
from collections import Counter

import time_machine
from django.core import mail as django_mail
from django.test import override_settings
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from django_pm.mail.sending import send_queue
from django_pm.models import Mail, MailState, NotificationPreferences, Task
from django_pm.services.reminders import queue_due
from tests.events.workers import LONG
from tests.factories import make_project, make_task, make_user
from tests.zones import DAY, MINUTE, clocks_of, near_a_change

HOUR = 60
LOCMEM = "django.core.mail.backends.locmem.EmailBackend"
NAMED = {"MAILERS": {"default": {"BACKEND": LOCMEM}}} if hasattr(django_mail, "mailers") else {}
"""What a Django with named mailers wants of a site; before, the test runner says that mail stays here."""

LANGUAGE = "ja"  # where a time is written in numbers alone

waits = st.one_of(st.integers(1, 90), st.integers(1, 10 * HOUR), st.integers(1, 26 * HOUR))
"""Minutes between two looks."""
steps = st.one_of(st.none(), st.none(), st.integers(-5 * HOUR, 5 * HOUR))
"""By how many minutes the clock of whoever looks is wrong from now on."""
looks = st.tuples(
    waits,
    st.sampled_from(["first", "second"]),  # two schedulers, each with a clock of its own
    steps,
    st.sampled_from(["both", "both", "queue", "send"]),
    st.sampled_from([0, 0, 0, 0, -7 * HOUR, 1, 30 * HOUR]),  # by how many minutes the task is due at another time
)
near_due_dates = st.one_of(
    near_a_change(before=2 * DAY, after=2 * DAY),
    near_a_change(before=HOUR * MINUTE, after=HOUR * MINUTE),
    st.sampled_from(
        [
            (clocks_of("America/Havana"), dt.datetime(2031, 11, 2, 4, 30, tzinfo=dt.UTC)),  # 00:30, for the first time
            (clocks_of("America/Havana"), dt.datetime(2031, 11, 2, 5, 30, tzinfo=dt.UTC)),  # 00:30 again
            (clocks_of("Pacific/Kiritimati"), dt.datetime(2032, 2, 28, 10, 30, tzinfo=dt.UTC)),  # 00:30 on 29 February
            (clocks_of("Etc/GMT+12"), dt.datetime(2032, 2, 29, 12, 30, tzinfo=dt.UTC)),
        ]
    ),
)


def written(at, zone):
    """As a mail in Japanese has it."""
    local = at.astimezone(zone)
    return f"{local.year}年{local.month}月{local.day}日{local.hour}:{local:%M} ("


@override_settings(**NAMED)
class TestReminders(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.user = make_user(email="one@example.org")
        cls.task = make_task(make_project(cls.user), assignee=cls.user)
        cls.preferences = NotificationPreferences.objects.create(user=cls.user, language=LANGUAGE)

    @settings(max_examples=50_000 if LONG else 500, deadline=None, derandomize=not LONG)
    @given(case=near_due_dates, ahead=st.integers(0, 50 * HOUR), looks=st.lists(looks, min_size=2, max_size=8))
    def test_one_for_each_due_date(self, case, ahead, looks):
        self.clocks, self.due = case
        self.sent, self.queued_at = Counter(), {}
        NotificationPreferences.objects.update(time_zone=self.clocks.name)
        Task.objects.update(due_date=self.due)
        django_mail.outbox.clear()
        at, wrong, moved = self.due - ahead * MINUTE, Counter(), 0
        for wait, who, step, what, move in looks:
            at += wait * MINUTE
            wrong[who] = wrong[who] if step is None else step
            moved = move if move != moved else 0  # moved, and with luck moved back
            Task.objects.update(due_date=self.due + moved * MINUTE)
            self.look(what, at + wrong[who] * MINUTE, self.due + moved * MINUTE)

    def look(self, what, now, due):
        before = {mail.occurrence: mail for mail in Mail.objects.all()}
        with time_machine.travel(now, tick=False):
            if what != "send":
                queue_due()
            if what != "queue":
                send_queue()
        after = {mail.occurrence: mail for mail in Mail.objects.all()}
        key = due.isoformat().replace("+00:00", "Z")
        is_time = due - DAY <= now < due
        assert Mail.objects.count() == len(after)  # one for each due date
        assert after.keys() - before.keys() == ({key} - before.keys() if is_time and what != "send" else set())
        if is_time and what != "send":
            assert after[key].state in (MailState.WAITING, MailState.SENT)
        messages, django_mail.outbox[:] = list(django_mail.outbox), []
        assert len(messages) <= 1
        for message in messages:  # only ever about the present due date, before it, and once
            assert now < due
            assert written(due, self.clocks.zone) in message.body
            self.sent[key] += 1
        assert max(self.sent.values(), default=0) <= 1
        assert {key for key, mail in after.items() if mail.state == MailState.SENT} == set(self.sent)
        if is_time and what == "both" and not self.sent[key]:
            assert after[key].due_at > now  # queued by a clock that was ahead
