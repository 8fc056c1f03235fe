"""What ``manage.py pm_doctor`` looks at: one check for each thing that a running site needs. None changes anything.

A further one joins ``CHECKS``; one that needs what no service may import is added from elsewhere (``findings.also``).
"""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import time
import uuid
import zoneinfo
from collections.abc import Iterator
from itertools import islice
from typing import Any

from django.core import mail as django_mail
from django.core.cache import caches
from django.core.exceptions import ValidationError
from django.core.mail.backends import smtp
from django.core.validators import validate_email
from django.db import Error, connections, router
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Count, Min, Q, QuerySet
from django.utils import timezone
from django.utils.timesince import timesince

from django_pm import users
from django_pm.cache.breaker import SLOW_SECONDS
from django_pm.conf import app_settings
from django_pm.events import soundness
from django_pm.events.subscribers import registered
from django_pm.models import EscalationRule, Mail, MailState, NotificationPreferences, Project, Report, Task
from django_pm.models.mail import UNFINISHED
from django_pm.services import backlog, reminders, reports
from django_pm.services.findings import NAMED, Check, Finding, amiss, broken, count, fine, some, told

LATELY = dt.timedelta(days=1)
MINUTE = dt.timedelta(minutes=1)
STUCK_AFTER = dt.timedelta(minutes=15)
"""A message that has been due for longer waits for somebody to send it at all."""

PATIENCE = 5
"""Seconds, for a server to answer."""

# --- The database ---------------------------------------------------------------------------------------------------

DATABASE, MIGRATIONS = "database", "migrations"


def database() -> Finding:
    connection = connections[router.db_for_write(Mail)]
    try:
        connection.ensure_connection()
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error as error:
        return broken(DATABASE, told(error), "Start the database, or correct DATABASES.")
    version = ".".join(map(str, connection.get_database_version()))
    return fine(DATABASE, f"{connection.display_name} {version} answers")


def migrations() -> Finding:
    executor = MigrationExecutor(connections[router.db_for_write(Mail)])
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes("django_pm"))
    missing = [migration.name for migration, _backwards in plan if migration.app_label == "django_pm"]
    if missing:
        what = f"not applied: {', '.join(missing)}"
        return broken(MIGRATIONS, what, "Run “manage.py migrate”, then look again for what else there is.")
    return fine(MIGRATIONS, "all applied")


def transactions() -> Finding:
    """Whether the database keeps writers apart as the rules that hold under a lock need it."""
    connection = connections[router.db_for_write(Mail)]
    return _of_sqlite(connection) if connection.vendor == "sqlite" else _of_server(connection)


def _of_server(connection: Any) -> Finding:
    name = "transactions"
    with connection.cursor() as cursor:
        cursor.execute("SHOW transaction_isolation")
        level = cursor.fetchone()[0].upper()
    if level == "READ COMMITTED":
        return fine(name, level)
    remedy = "Leave isolation_level out of the database's OPTIONS: writes that meet fail, and have to be repeated."
    return amiss(name, level, remedy)


def _of_sqlite(connection: Any) -> Finding:
    """What is set for the file, and for each connection to it."""
    name = "transactions"
    with connection.cursor() as cursor:
        journal, keys = (cursor.execute(f"PRAGMA {what}").fetchone()[0] for what in ("journal_mode", "foreign_keys"))
    mode = connection.transaction_mode or "DEFERRED"  # which is known once it is connected
    if not keys:
        return broken(name, "foreign keys are off", "Take “PRAGMA foreign_keys” out of the database's init_command.")
    wrong = [] if mode in ("IMMEDIATE", "EXCLUSIVE") else [f"{mode}, not IMMEDIATE"]
    wrong += [] if journal in ("wal", "memory") else [f"journal_mode {journal}, not WAL"]
    if wrong:
        remedy = 'Set "OPTIONS": {"transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=WAL"}.'
        return amiss(name, "; ".join(wrong), remedy)
    return fine(name, f"{mode}, journal in {journal.upper()}, foreign keys on")


MEND = "Run “manage.py pm_epoch --mend”: clients then fetch afresh. Restore the tables of one backup together."


def streams() -> Finding:
    """Whether the numbers of events are whole, near the ends of the streams in which something happened last."""
    return _sound(soundness.faults_of_the_latest(), "no number is missing among the latest")


def all_streams() -> Finding:
    """Whether the numbers of all events are whole."""
    return _sound(soundness.all_faults(), "no number is missing")


def _sound(faults: list[soundness.Fault], nothing: str) -> Finding:
    name = "streams"
    return broken(name, some(fault.what for fault in faults), MEND) if faults else fine(name, nothing)


def numbering() -> Finding:
    """How long the oldest event has been without a number. Where nobody subscribes, whoever reads gives it one."""
    name = "numbering"
    now = timezone.now()
    age = backlog.unnumbered_for(now)
    if age <= STUCK_AFTER or not registered():
        return fine(name, f"the oldest event without a number has waited {_lag(age, now)}" if age else "done")
    return broken(name, f"one is without a number for {timesince(now - age, now)}", RELAY)


RELAY = "Run pm_run, pm_relay_events by cron, or a worker and a beat; if one does, see its log."


def events() -> Finding:
    """Whether somebody hands events to subscribers, and whether those can do with them."""
    name = "events"
    now = timezone.now()
    ages = backlog.unrelayed_for(now)
    if not ages:
        return fine(name, "nobody has subscribed: they are numbered by whoever reads them")
    late = [f"{subscriber} has had none yet" for subscriber, age in ages.items() if age is None]
    late += [
        f"{subscriber} has not had one of {timesince(now - age, now)} ago"
        for subscriber, age in ages.items()
        if age is not None and age > STUCK_AFTER
    ]
    if late:
        return broken(name, some(late), RELAY)
    if parked := [f"{number} by {subscriber}" for subscriber, number in backlog.parked_events().items() if number]:
        return amiss(name, f"parked: {some(parked)}", "See “Parked events” in the admin, and mend the handler.")
    lags = [f"{subscriber} is {_lag(age, now)} behind" for subscriber, age in ages.items() if age]
    return fine(name, f"handed to {count(len(ages), 'subscriber')}, {some(lags) if lags else 'none is behind'}")


def _lag(age: dt.timedelta, now: dt.datetime) -> str:
    return timesince(now - age, now) if age >= MINUTE else f"{age.total_seconds():.0f} s"


# --- Mail -----------------------------------------------------------------------------------------------------------


def mail_server() -> Finding:
    """Whether a connection can be opened, and closed, within seconds. What is not SMTP is only named."""
    name = "mail server"
    connection = django_mail.mailers.default if hasattr(django_mail, "mailers") else django_mail.get_connection()
    if not isinstance(connection, smtp.EmailBackend):
        return fine(name, f"mail goes to {type(connection).__module__}.{type(connection).__name__}, not over SMTP")
    where = f"{connection.host}:{connection.port}"
    connection.timeout = min(connection.timeout or PATIENCE, PATIENCE)
    try:
        connection.open()
        connection.close()
    except OSError as error:  # which errors of SMTP are too
        remedy = "Start it, or correct MAILERS (before Django 6.1: EMAIL_HOST and its like). Mail waits meanwhile."
        return broken(name, f"{where}: {told(error)}", remedy)
    return fine(name, f"{where} answers")


def queue() -> Finding:
    """Whether somebody sends what is due."""
    name = "mail queue"
    now = timezone.now()
    due = Mail.objects.filter(state__in=UNFINISHED, due_at__lte=now).aggregate(since=Min("due_at"), number=Count("pk"))
    if due["since"] is None or now - due["since"] < STUCK_AFTER:
        waiting = Mail.objects.filter(state__in=UNFINISHED).count()
        return fine(name, f"{waiting} on the way, none overdue")
    what = f"{due['number']} not sent, the oldest due for {timesince(due['since'], now)}"
    return broken(name, what, "Nothing sends mail: run pm_run, pm_send_reminders by cron, or a worker and a beat.")


def waiting() -> Finding:
    """What is tried again, and why."""
    rows = Mail.objects.filter(state=MailState.WAITING).exclude(reason="")
    return _by_reason("mail tried again", rows, "none", "It is sent by itself once the reason is gone.")


def failed() -> Finding:
    """What has been given up lately. A message that failed has not been touched since its last attempt was due."""
    rows = Mail.objects.filter(state=MailState.FAILED, due_at__gte=timezone.now() - LATELY)
    remedy = "Mend the reason, then choose “Try again” in the admin's list of mail."
    return _by_reason("mail failed", rows, "none within a day", remedy)


def _by_reason(name: str, rows: QuerySet[Mail], nothing: str, remedy: str) -> Finding:
    reasons = list(rows.values_list("reason").annotate(number=Count("pk")).order_by("-number", "reason"))
    if not reasons:
        return fine(name, nothing)
    told_of = [f"{number} of “{reason}”" for reason, number in reasons[:NAMED]]
    rest = sum(number for _reason, number in reasons[NAMED:])
    return amiss(name, "; ".join([*told_of, *([f"{rest} for other reasons"] if rest else [])]), remedy)


def recipients() -> Finding:
    """Whether those who may be reminded have an address that is one."""
    name = "recipients"
    deaf = NotificationPreferences.objects.filter(reminders=False, reports=False).values("user")
    concerned = Q(pk__in=Project.objects.values("memberships__user")) | Q(pk__in=Task.objects.open().values("assignee"))
    people = users.active_users().filter(concerned).exclude(pk__in=deaf).order_by("pk")
    without = [user.get_username() for user in people.iterator() if not _is_usable(users.email_address(user))]
    if not without:
        return fine(name, "all have an address")
    what = f"{count(len(without), 'user')} without a usable address: {some(without)}"
    return amiss(name, what, "Give them one, or they are never reminded.")


def _is_usable(address: str) -> bool:
    try:
        validate_email(address)
    except ValidationError:
        return False
    return True


def unheard() -> Finding:
    """Whether somebody queues reminders, and tasks that are due soon, of which nobody is to be reminded."""
    name = "reminders"
    now = timezone.now()
    if (late := backlog.reminders_due_for(now)) > STUCK_AFTER:
        what = f"one that is due for {timesince(now - late, now)} has not been queued"
        return broken(name, what, "Run pm_run, pm_send_reminders by cron, or a worker and a beat.")
    tasks = Task.objects.open().filter(due_date__gt=now, due_date__lte=now + reminders.AHEAD).order_by("due_date", "pk")
    rows: Iterator[Any] = tasks.values_list("pk", "project", "assignee", "due_date").iterator(reminders.CHUNK)
    dues = (reminders.Due(*row) for row in rows)
    number = 0
    nobody: list[str] = []
    while chunk := list(islice(dues, reminders.CHUNK)):
        number += len(chunk)
        nobody += [f"task {task}" for task, found in reminders.recipients_of(chunk).items() if not found]
    if not number:
        return fine(name, "no task is due within a day")
    if not nobody:
        return fine(name, f"{count(number, 'task')} due within a day, each with somebody to remind")
    what = f"nobody to remind of {count(len(nobody), 'task')} due within a day: {some(nobody)}"
    return amiss(name, what, "Assign them, or have an owner or manager who is active and wants reminders.")


def daily_reports() -> Finding:
    """Whether somebody makes them, and what was wrong when they were made."""
    name = "reports"
    now = timezone.now()
    # Whoever has that of a day that has come since lacks nothing: the first report of a project has none before it.
    lacking = reports.due_projects(now).order_by().values("pk")
    late = list(
        reports.due_projects(now - STUCK_AFTER).filter(pk__in=lacking).order_by("pk").values_list("pk", flat=True)
    )
    if late:
        what = f"none of today of {count(len(late), 'project')}: {some([f'project {key}' for key in late])}"
        remedy = "Run pm_run, pm_send_reports by cron, or a worker and a beat; if one does, its log says why."
        return broken(name, what, remedy)
    noted = Report.objects.filter(generated_at__gte=timezone.now() - LATELY).exclude(note="").order_by("pk")
    if notes := [f"project {project}: {note}" for project, note in noted.values_list("project", "note")]:
        return amiss(name, some(notes), "The reports are there. See the line of the time zones.")
    return fine(name, "made of every project")


def escalation() -> Finding:
    """Whether the rules of projects could do what they say, when they last tried."""
    name = "escalation"
    active = EscalationRule.objects.filter(is_active=True)
    failed = active.filter(failed_at__isnull=False).order_by("-failed_at", "pk")
    if not (number := failed.count()):
        rules = active.count()
        return fine(name, f"{count(rules, 'active rule')}, none has failed" if rules else "no rule is active")
    examples = [f"rule {key}: {failure}" for key, failure in failed.values_list("pk", "failure")[:NAMED]]
    what = f"{count(number, 'rule')} failed last: {'; '.join(examples)}"
    return amiss(name, what, "The log names the tasks. It is tried again every minute.")


def cache() -> Finding:
    """Whether what is put into the cache of lists is found there, and soon enough to be of use."""
    name = "cache"
    alias = app_settings.RESPONSE_CACHE
    if not alias:
        return fine(name, "no lists are kept, since RESPONSE_CACHE is empty")
    key, value = f"django_pm:doctor:{uuid.uuid4().hex}", b"found"
    began = time.monotonic()
    try:
        caches[alias].set(key, value, timeout=PATIENCE)
        found = caches[alias].get(key)
        caches[alias].delete(key)
    except Exception as error:  # whatever the client of a cache raises
        return amiss(name, f"{alias!r}: {told(error)}", "Start it, or correct CACHES. Lists are slower meanwhile.")
    seconds = (time.monotonic() - began) / 3
    if seconds > SLOW_SECONDS:
        what = f"{alias!r} took {seconds:.2f} s for an answer"
        return amiss(name, what, "See what keeps it. It is left alone when it is that slow, and lists are slower.")
    if found != value:
        return fine(name, f"{alias!r} keeps nothing: lists are kept by each process for itself")
    return fine(name, f"{alias!r} answers in {1000 * seconds:.1f} ms")


# --- Everything else ------------------------------------------------------------------------------------------------


def time_zones() -> Finding:
    """Whether this machine knows the time zone of every project."""
    name = "time zones"
    known = zoneinfo.available_timezones()
    used = Project.objects.order_by("time_zone").values_list("time_zone").annotate(number=Count("pk"))
    unknown = [f"{zone} ({count(number, 'project')})" for zone, number in used if zone not in known]
    if not unknown:
        return fine(name, "all known here")
    return broken(name, f"not known here: {some(unknown)}", "Upgrade the package tzdata, or correct the projects.")


EXTRAS = {
    "celery": "celery",
    "channels": "channels",
    "client": "httpx",
    "metrics": "prometheus-client",
    "redis": "django-redis",
    "ui": "nh3",
}
"""Each extra, and by which of its packages it is known to be installed."""


def extras() -> Finding:
    """Which extras are installed. That one is not is no fault: what uses it says what is missing."""
    found, missing = [], []
    for extra, package in EXTRAS.items():
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(extra)
    return fine("extras", f"{', '.join(found) or 'none'}; not installed: {', '.join(missing) or 'none'}")


TABLES = (DATABASE, MIGRATIONS)

CHECKS = [
    Check(DATABASE, database),
    Check(MIGRATIONS, migrations, needs=(DATABASE,)),
    Check("transactions", transactions, needs=(DATABASE,)),
    Check("streams", streams, needs=TABLES),
    Check("numbering", numbering, needs=TABLES),
    Check("events", events, needs=TABLES),
    Check("mail server", mail_server),
    Check("mail queue", queue, needs=TABLES),
    Check("mail tried again", waiting, needs=TABLES),
    Check("mail failed", failed, needs=TABLES),
    Check("recipients", recipients, needs=TABLES),
    Check("reminders", unheard, needs=TABLES),
    Check("reports", daily_reports, needs=TABLES),
    Check("escalation", escalation, needs=TABLES),
    Check("time zones", time_zones, needs=TABLES),
    Check("cache", cache, patience=PATIENCE),
    Check("extras", extras),
]

IN_FULL = {"streams": all_streams}
"""What looks at every row, where the check of that name looks at the latest."""


def thorough() -> list[Check]:
    """The checks, with those that read whole tables or indexes in the places of the quick ones."""
    return [check._replace(look=IN_FULL.get(check.name, check.look)) for check in CHECKS]
