"""Daily reports: one for each project and date of the project's own time zone, whoever makes it and however late.

Nothing is scheduled for an instant. Whoever looks finds the projects whose day has reached ``REPORT_HOUR`` and that
have no report of it; the unique constraint makes it one. A report, its event and the messages that carry it are
committed together.
"""

from __future__ import annotations

import datetime as dt
import itertools
import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

from django.conf import settings
from django.db import IntegrityError, OperationalError, connections, router, transaction
from django.db.models import Case, DateField, DateTimeField, Exists, F, Max, OuterRef, QuerySet, Subquery, Value, When
from django.utils import timezone

from django_pm import access
from django_pm.conf import app_settings
from django_pm.context import acting
from django_pm.garbage import unsearched
from django_pm.models import Mail, MailKind, Membership, NotificationPreferences, Project, Report, Role
from django_pm.services import local_days
from django_pm.services.apart import apart
from django_pm.services.summaries import Place, summarise

logger = logging.getLogger(__name__)

CHUNK = 500
"""Projects that are reported by one transaction."""

CAUGHT_UP = 7
"""Dates that are made up for, at most, where nobody looked for days."""

ORIGIN = "report"


class Wanted(NamedTuple):
    """A report that is to be made."""

    place: Place
    due_at: dt.datetime
    """When its mail is to leave."""
    is_mailed: bool
    note: str


class Day(NamedTuple):
    """A date of a time zone, and the instant at which its report was due."""

    date: dt.date
    since: dt.datetime


# For all projects


def make_due(now: dt.datetime | None = None, *, for_at_most: dt.timedelta = dt.timedelta.max) -> int:
    """Make the reports that are due and not there; how many. Asked again, or by two at once, it makes none twice.

    A project is reported from the first ``REPORT_HOUR`` of its own after it was created. Where nobody looked for
    some days, the last ``CAUGHT_UP`` dates are made up for. The number of statements grows with the hundreds of
    projects. What the time does not suffice for, the next call makes.

    Raises the first error of the database itself, when those have been made that can be.
    """
    at = now or timezone.now()
    began = timezone.now()
    made = 0
    failed: set[Any] = set()
    broken: list[OperationalError] = []

    def left_out(wanted: Wanted, error: Exception) -> list[Report]:
        logger.error("No report of project %s could be made.", wanted.place.project_id, exc_info=error)
        failed.add(wanted.place.project_id)
        return []

    with acting(origin=ORIGIN):
        for chunk in _chunks(at):
            # What is missing before the last report is not looked for again: a later date waits for an earlier one.
            wanted = [one for one in chunk if one.place.project_id not in failed]
            try:
                with unsearched():
                    made += sum(len(reports) for reports in apart(partial(make, now=at), wanted, left_out))
            except OperationalError as error:  # a statement that took too long, for instance: not for ever in the way
                if not connections[router.db_for_write(Report)].is_usable():
                    raise
                broken.append(error)
                failed.update(one.place.project_id for one in wanted)
            if timezone.now() - began >= for_at_most:
                break
        else:
            _mail_early_ones(at)
    if broken:
        raise broken[0]
    return made


def _chunks(now: dt.datetime) -> Iterator[list[Wanted]]:
    """What is missing, in pieces of different projects, in the order of their keys."""
    projects = due_projects(now).order_by("pk")
    last = None
    while rows := list((projects if last is None else projects.filter(pk__gt=last))[:CHUNK]):
        missing = [_missing(row, now) for row in rows]
        for turn in itertools.zip_longest(*missing):
            yield [wanted for wanted in turn if wanted is not None]
        last = rows[-1].pk


def due_projects(now: dt.datetime) -> QuerySet[Any]:
    """Projects that lack the report of their ``latest`` date, each with ``reported``, that of the last one before.

    Later ones do not count: a clock that was wrong may have had them made, and is not to cost those until then.
    """
    projects = _with_latest(now)
    reports = Report.objects.filter(project=OuterRef("pk"))
    due = projects.filter(~Exists(reports.filter(date=OuterRef("latest"))), created_at__lt=F("since"))
    earlier = reports.filter(date__lt=OuterRef("latest")).order_by("-date")
    return due.annotate(reported=Subquery(earlier.values("date")[:1])).only("pk", "time_zone")


def latest_day(time_zone: str, now: dt.datetime) -> Day:
    """The latest date of a zone whose hour has come."""
    zone, _note = _zone(time_zone)
    date = local_days.reached(now, zone, _hour())
    return Day(date, local_days.begins(date, zone, _hour()))


def _with_latest(now: dt.datetime) -> QuerySet[Any]:
    """All projects, each with its ``latest`` date whose hour has come, and ``since``, when that was."""
    names = Project.objects.order_by().values_list("time_zone", flat=True).distinct()
    dates, instants = defaultdict(list), defaultdict(list)
    for name in names:
        date, since = latest_day(name, now)
        dates[date].append(name)
        instants[since].append(name)

    def by_zone(found: dict[Any, list[str]], output_field: Any) -> Any:
        if not found:  # there is no project
            return Value(None, output_field)
        cases = (When(time_zone__in=names, then=Value(value)) for value, names in found.items())
        return Case(*cases, output_field=output_field)

    # In the statement, since each zone has a date of its own.
    return Project.objects.annotate(latest=by_zone(dates, DateField()), since=by_zone(instants, DateTimeField()))


def _missing(project: Any, now: dt.datetime) -> list[Wanted]:
    """What one project lacks, up to its latest date."""
    zone, note = _zone(project.time_zone)
    latest = local_days.reached(now, zone, _hour())
    return _until(project.pk, latest, project.reported, zone, note)


def _until(project_id: Any, latest: dt.date, reported: dt.date | None, zone: Any, note: str) -> list[Wanted]:
    """The dates after ``reported``, as far back as is made up for; ``latest`` alone if there is none."""
    earlier = [] if reported is None else local_days.last_days(latest, zone, CAUGHT_UP - 1)
    dates = [date for date in earlier if reported is not None and date > reported] + [latest]
    mailed = _mailed_from(latest, zone)
    return [
        Wanted(Place(project_id, date, zone), local_days.begins(date, zone, _hour()), date >= mailed, note)
        for date in dates
    ]


def _mailed_from(latest: dt.date, zone: Any) -> dt.date:
    """The first date whose report is still mailed: the one before the latest."""
    return local_days.before(latest, zone)


def _zone(name: str) -> tuple[Any, str]:
    """The zone of a project, and what is to be noted: one that is not known here falls back on the site's."""
    if (zone := local_days.find_zone(name)) is not None:
        return zone, ""
    site = local_days.find_zone(settings.TIME_ZONE or "UTC") or local_days.find_zone("UTC")
    return site, f"The time zone “{name}” of the project is not known here; {site} was used."


def _hour() -> int:
    return app_settings.REPORT_HOUR


def make(wanted: list[Wanted], now: dt.datetime) -> list[Report]:
    """Make these reports of different projects, as far as they are not there; those that are new.

    Their data is read before their transaction begins. Whoever makes the same ones meanwhile is waited for; what is
    there then is left out.
    """
    summaries = summarise([one.place for one in wanted], now) if wanted else {}
    using = router.db_for_write(Report)
    while wanted:
        try:
            with transaction.atomic(using=using):
                return _store(wanted, summaries, now, using=using)
        except IntegrityError:
            remaining = _still_missing(wanted, using=using)
            if len(remaining) == len(wanted):
                _require_in_snapshot(wanted, using=using)
                raise
            wanted = remaining
    return []


def _still_missing(wanted: list[Wanted], *, using: str) -> list[Wanted]:
    keys = [one.place.project_id for one in wanted]
    there = set(Report.objects.using(using).filter(project__in=keys).values_list("project", "date"))
    projects = set(Project.objects.using(using).filter(pk__in=keys).values_list("pk", flat=True))
    return [
        one
        for one in wanted
        if one.place.project_id in projects and (one.place.project_id, one.place.date) not in there
    ]


def _require_in_snapshot(wanted: list[Wanted], *, using: str) -> None:
    """Raise PostgreSQL's serialization failure if such a report is there and a host's transaction cannot see it.

    One that keeps to an older snapshot only hears that the key is taken. Asked to leave out what is taken, PostgreSQL
    says that the transaction is to be repeated; what that would insert is undone.
    """
    if connections[using].get_autocommit():  # then no transaction is open
        return
    rows: QuerySet[Report] = QuerySet(Report, using=using)  # untold, by Django's own
    with transaction.atomic(using=using):
        rows.bulk_create(
            [Report(project_id=one.place.project_id, date=one.place.date) for one in wanted], ignore_conflicts=True
        )
        transaction.set_rollback(True, using=using)


def _store(wanted: list[Wanted], summaries: dict[Any, Any], now: dt.datetime, *, using: str) -> list[Report]:
    reports: list[Report] = Report.objects.using(using).bulk_create(
        Report(
            project_id=one.place.project_id,
            date=one.place.date,
            time_zone=one.place.zone.key,
            generated_at=now,
            data=summaries[one.place.project_id],
            note=one.note,
        )
        for one in wanted
    )
    _queue([(report, max(now, one.due_at)) for report, one in zip(reports, wanted, strict=True) if one.is_mailed])
    return reports


# For one project


def make_today(*, actor: Any, project: Project, now: dt.datetime | None = None) -> tuple[Report, bool]:
    """The report of the present date of ``project``, and whether it had to be made.

    In a transaction of the caller's that keeps to one snapshot (REPEATABLE READ), somebody else may make the same one
    unseen: PostgreSQL's serialization failure then says that the transaction is to be repeated.
    """
    at = now or timezone.now()
    zone, note = _zone(project.time_zone)
    today = at.astimezone(zone).date()
    reports = Report.objects.using(router.db_for_write(Report)).filter(project=project)
    if (there := reports.filter(date=today).first()) is not None:
        return there, False
    reported = reports.filter(date__lt=today).aggregate(last=Max("date"))["last"]
    made = [report for one in _until(project.pk, today, reported, zone, note) for report in make([one], at)]
    mine = [report for report in made if report.date == today]
    return (mine[0], True) if mine else (reports.get(date=today), False)


def rebuild(*, actor: Any, report: Report, now: dt.datetime | None = None) -> Report:
    """Make a report anew, from what the project is now. Whoever has had it by mail is not mailed again.

    Raises ``Report.DoesNotExist`` if it was deleted meanwhile.
    """
    at = now or timezone.now()
    zone, note = _zone(report.time_zone)
    data = summarise([Place(report.project_id, report.date, zone)], at)[report.project_id]
    using = router.db_for_write(Report)
    with transaction.atomic(using=using):
        row: Report = Report.objects.using(using).select_for_update(no_key=True).get(pk=report.pk)
        row.data, row.generated_at, row.note = data, at, note
        row.save(update_fields=["data", "generated_at", "note"])
    return row


# By mail


def recipients_of(project_ids: Collection[Any]) -> dict[Any, set[Any]]:
    """By project, the keys of its owners and managers who want reports, and are active and see it now."""
    asking = NotificationPreferences.objects.filter(reports=True).values("user")
    rows = Membership.objects.filter(project__in=project_ids, role__in=[Role.OWNER, Role.MANAGER], user__in=asking)
    pairs = list(rows.order_by().values_list("project", "user"))
    seen = access.visible_to_each({user_id for _project_id, user_id in pairs})
    found: dict[Any, set[Any]] = defaultdict(set)
    for project_id, user_id in pairs:
        if (keys := seen[user_id]) is None or project_id in keys:
            found[project_id].add(user_id)
    return found


def _queue(due: list[tuple[Report, dt.datetime]]) -> None:
    """Queue these reports, each to leave at its instant, for whoever is to get them and has no message yet."""
    recipients = recipients_of({report.project_id for report, _at in due})
    Mail.objects.using(router.db_for_write(Mail)).bulk_create(
        [
            Mail(
                kind=MailKind.REPORT,
                object_id=str(report.pk),
                occurrence=report.date.isoformat(),
                recipient_id=user_id,
                due_at=at,
            )
            for report, at in due
            for user_id in sorted(recipients[report.project_id], key=str)
        ],
        ignore_conflicts=True,
    )


def _mail_early_ones(now: dt.datetime) -> None:
    """Queue the reports of today that were made before their hour for those who have come to want them by it."""
    of_today = Report.objects.filter(
        project=OuterRef("pk"), date=OuterRef("latest"), generated_at__lt=OuterRef("since")
    )
    early = _with_latest(now).order_by("pk").annotate(early=Subquery(of_today.values("pk")[:1]))
    keys = list(early.filter(early__isnull=False).values_list("early", flat=True))
    for start in range(0, len(keys), CHUNK):
        reports = Report.objects.filter(pk__in=keys[start : start + CHUNK]).order_by("pk")
        for _ in apart(_queue, [(report, now) for report in reports.only("project", "date")], _not_mailed):
            pass


def _not_mailed(due: tuple[Report, dt.datetime], error: Exception) -> None:
    logger.error("Nobody can say whom to mail report %s to.", due[0].pk, exc_info=error)


def still_wanted(mails: Iterable[Mail], now: dt.datetime) -> dict[Any, Report | str]:
    """By the key of the message, the report that it is still to be sent for, or why it is not."""
    mails = list(mails)
    keys = {mail.object_id for mail in mails}
    reports = {str(report.pk): report for report in Report.objects.filter(pk__in=keys).select_related("project")}
    recipients = recipients_of({report.project_id for report in reports.values()})

    def verdict(mail: Mail) -> Report | str:
        report = reports.get(mail.object_id)
        if report is None:
            return "The report is gone."
        zone, _note = _zone(report.time_zone)
        if report.date < _mailed_from(local_days.reached(now, zone, _hour()), zone):
            return "A later report came before it could leave."
        if mail.recipient_id not in recipients[report.project_id]:
            return "The recipient is not concerned any more: removed, deactivated or opted out."
        return report

    return {mail.pk: verdict(mail) for mail in mails}
