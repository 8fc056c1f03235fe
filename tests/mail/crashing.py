"""Queue what is due and send it, and be killed at a named point: `python -m tests.mail.crashing "after the claim" 2`.

The number is that of the message, counted from 1, where the point is one that each message passes. A third argument is
how many tasks to make in an empty database before.
"""

import datetime as dt
import os
import signal
import sys
from contextlib import ExitStack

import django
from django.db import connection

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"


def die(*_arguments, **_options):
    os.kill(os.getpid(), signal.SIGKILL)


class Nth:
    """Die at the nth call."""

    def __init__(self, number):
        self.left = number

    def __call__(self):
        self.left -= 1
        if not self.left:
            die()


def after_statement(beginning, parameter, die):
    """Die when such a statement has been run; in a transaction, before its commit."""

    def execute(run, sql, values, many, context):
        result = run(sql, values, many, context)
        # Rows that are inserted together come as one list for each column.
        parts = [part for value in values or () for part in (value if isinstance(value, list) else [value])]
        if sql.startswith(beginning) and parameter in parts:
            die()
        return result

    return connection.execute_wrapper(execute)


def around_sending(before, after):
    """Do something before the server gets a message, and when it has taken it."""
    from django_pm.mail import smtp

    hand_over = smtp.Talk.hand_over

    def sending(*arguments):
        before()
        hand_over(*arguments)
        after()

    smtp.Talk.hand_over = sending


def set_up(point, die_at, stack):
    from django_pm.mail import journal, sending

    insert, update = 'INSERT INTO "django_pm_mail"', 'UPDATE "django_pm_mail"'
    if point == "queueing, before its commit":
        stack.enter_context(after_statement(insert, "reminder", die))
    elif point == "queueing, after its commit":
        sending.claim = die
    elif point == "claim, before its commit":
        stack.enter_context(after_statement(update, "claimed", die))
    elif point == "claim, after its commit":
        sending.Batch = die
    elif point in ("begun, it is not written", "the one before begun, it is being written with that"):
        if point.startswith("begun"):
            sending.IN_A_ROW = 1
        compose = sending.compose
        sending.compose = lambda *arguments: (die_at(), compose(*arguments))[1]
    elif point == "begun, the server has not got it":
        around_sending(die_at, int)
    elif point == "the server has taken it, it is not marked":
        around_sending(int, die_at)
    elif point == "marked, and the next begun":  # by one statement, so the next is the one that is counted
        begin = journal.Journal.begin
        die_at.left += 1
        journal.Journal.begin = lambda *arguments, **options: (begin(*arguments, **options), die_at())[0]
    elif point == "all marked, before hanging up":
        sending.Batch._disconnect = die
    elif point == "noted to a database that stands still":
        # However long this machine takes for it, all is written when the first is sent, and nobody is asked again.
        sending.WRITING_FOR, sending.FRESH_FOR = 60, dt.timedelta(minutes=2)
        begin = journal.Journal.begin

        def beginning(self, *arguments, at_once):
            if die_at.left == 1:
                assert at_once
                self.rows([])  # the answer to the one before is there: it would be waited for
                os.kill(connection.connection.info.backend_pid, signal.SIGSTOP)
            begin(self, *arguments, at_once=at_once)
            die_at()
            return True

        journal.Journal.begin = beginning
    else:
        assert point == "the server has it, has not answered", point  # it is the server that kills


def main(point, number, tasks=0):
    django.setup()

    from django.core.management import call_command

    from django_pm.mail import sending
    from django_pm.services import reminders
    from tests.tasks.processes.ledger import remind_of

    if tasks:
        call_command("migrate", verbosity=0)
        remind_of(tasks)
    with ExitStack() as stack:
        set_up(point, Nth(number), stack)
        reminders.queue_due()
        sending.send_queue()


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
