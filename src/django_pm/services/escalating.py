"""Escalation: the rules of projects act on tasks that have been overdue, or in one status, for too long.

Nothing is scheduled. Whoever looks, however late, finds the tasks to which a rule applies and on which it has not
acted; the row that says it has (``Firing``) is what makes it once for each instant since which a task is so. It is
committed together with what was done and with the events of it.
"""

from __future__ import annotations

import datetime as dt
import logging
import random
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

from django.db import OperationalError, connections, router, transaction
from django.db.models import (
    Case,
    CharField,
    DateTimeField,
    Exists,
    F,
    Max,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    TextField,
    Value,
    When,
)
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, Coalesce, Greatest
from django.utils import timezone

from django_pm import event_types
from django_pm.context import acting
from django_pm.models import Action, Condition, EscalationRule, Event, Firing, Outcome, Priority, Task
from django_pm.models.escalation import OpenStatus
from django_pm.models.recorder import append
from django_pm.services.apart import apart
from django_pm.services.assigning import hold, least_loaded

logger = logging.getLogger(__name__)

CHUNK = 500
"""Tasks that are looked for by one statement."""


class Due(NamedTuple):
    """A task that a rule is to act on, and since when it is so."""

    task_id: Any
    since: dt.datetime


def escalate(*, now: dt.datetime | None = None, for_at_most: dt.timedelta = dt.timedelta.max) -> int:
    """Have every rule act on the tasks that it applies to; how often one has.

    Asked again, or by two at once, none acts twice. A task, or a rule, on which it fails is told of and tried again
    the next time. The number of statements grows with the rules, and with the tasks that are acted on.

    Raises the first error of the database itself, when the other rules have acted.
    """
    at = now or timezone.now()
    began = timezone.now()
    fired = 0
    broken: list[OperationalError] = []
    keys = list(EscalationRule.objects.filter(is_active=True).order_by().values_list("pk", flat=True))
    # In another order each time: where the time does not suffice for all, it is not always the same ones that wait.
    random.shuffle(keys)
    for key in keys:
        left = for_at_most - (timezone.now() - began)
        if left <= dt.timedelta(0):
            break
        try:
            fired += _act(key, at, for_at_most=left)
        except OperationalError as error:  # a statement that took too long, for instance: not in the way of the others
            if not connections[router.db_for_write(Firing)].is_usable():
                raise
            broken.append(error)
            _note_failure(key, error)
    if broken:
        raise broken[0]
    return fired


def _act(key: Any, now: dt.datetime, *, for_at_most: dt.timedelta) -> int:
    """Have one rule act on one task after the other; on how many it has."""
    rule = EscalationRule.objects.filter(pk=key, is_active=True).first()
    if rule is None:
        return 0
    began = timezone.now()
    fired = 0
    failures: list[Exception] = []

    def left_out(due: Due, error: Exception) -> int:
        logger.error("Rule %s could not act on task %s.", key, due.task_id, exc_info=error)
        failures.append(error)
        return 0

    for due in _find(rule, now):
        fired += sum(apart(partial(_fire, key, now), [due], left_out))
        if timezone.now() - began >= for_at_most:
            break
    if failures:
        _note_failure(key, failures[-1])
    elif rule.failed_at is not None:
        EscalationRule.objects.filter(pk=key).update(failed_at=None, failure="")
    return fired


def _note_failure(key: Any, error: Exception) -> None:
    what = f"{type(error).__name__}: {error}"[:500]
    EscalationRule.objects.filter(pk=key).update(failed_at=timezone.now(), failure=what)


# Finding


def _find(rule: EscalationRule, now: dt.datetime) -> Iterator[Due]:
    """What the rule has to act on, in pieces."""
    # Status by status, each read from the index that ends in (created_at, id): asked for all at once, or in the order
    # of their due dates, the completed tasks of a project would be read too.
    for status in OpenStatus.values if rule.condition == Condition.OVERDUE else [rule.status]:
        tasks = due_tasks(rule, now).filter(status=status).order_by("created_at", "pk")
        rows = tasks.values_list("pk", "since", "created_at")
        behind = Q()
        while chunk := list(rows.filter(behind)[:CHUNK]):
            yield from (Due(task_id, since) for task_id, since, _created_at in chunk)
            last, _since, created_at = chunk[-1]
            # Those on which it failed are still there. The first condition is for the index, as in the reminders.
            behind = Q(created_at__gte=created_at) & (Q(created_at__gt=created_at) | Q(pk__gt=last))


def due_tasks(rule: EscalationRule, now: dt.datetime) -> QuerySet[Any]:
    """The tasks that the rule has to act on, each with ``since``."""
    firings = Firing.objects.filter(rule=rule.pk, task_id=OuterRef("pk"))
    if rule.condition == Condition.OVERDUE:
        return _overdue(rule, now).filter(~Exists(firings.filter(instant=OuterRef("since"))))
    # Not the same instant: where the log has been pruned since, the task seems to be so for longer.
    return _stuck(rule, now).filter(~Exists(firings.filter(instant__gte=OuterRef("since"))))


def _overdue(rule: EscalationRule, now: dt.datetime) -> QuerySet[Any]:
    tasks = Task.objects.open().filter(project=rule.project_id, due_date__lte=now - rule.patience)
    return tasks.annotate(since=F("due_date"))


def _stuck(rule: EscalationRule, now: dt.datetime) -> QuerySet[Any]:
    """Since when, the log says: the last event of the task that tells of its status, or else the task's creation.

    Where a resync came since and the status is another, it has changed with that, untold.
    """
    log = Event.objects.filter(project_id=rule.project_id)
    key = Cast(OuterRef("pk"), CharField(max_length=64))
    told = log.filter(object_type="task", object_id=key, changes__has_key="status").order_by("-id")
    since: Any = Coalesce(Subquery(told.values("created_at")[:1]), F("created_at"))
    resyncs = log.filter(object_type="project", object_id=str(rule.project_id), type=event_types.PROJECT_RESYNC)
    if (resynced := resyncs.aggregate(last=Max("created_at"))["last"]) is not None:
        status = told.annotate(status=KT("changes__status__1")).values("status")[:1]
        # With nothing told, nothing is another: it counts from its creation, however many resyncs come.
        last_told = Coalesce(Subquery(status, output_field=TextField()), F("status"), output_field=TextField())
        since = Case(
            When(status=last_told, then=since),
            default=Greatest(since, Value(resynced, DateTimeField())),
        )
    before = now - rule.patience
    # Nothing is in a status for longer than it is there: the index leaves out what is too young.
    tasks = Task.objects.filter(project=rule.project_id, status=rule.status, created_at__lte=before)
    return tasks.annotate(since=since).filter(since__lte=before)


# Acting


def _fire(key: Any, now: dt.datetime, dues: list[Due]) -> int:
    """Act on one task, unless somebody else has meanwhile or the rule does not apply any more; 1 if it did."""
    [due] = dues
    using = router.db_for_write(Firing)
    with transaction.atomic(using=using), acting(None, origin=f"rule:{key}"):
        # The project, then the rule, then the task, as in a deletion of the project.
        rules = EscalationRule.objects.using(using).filter(pk=key, is_active=True)
        hold(rules.values_list("project", flat=True).first())
        rule = rules.select_for_update(no_key=True, of=("self",)).first()
        tasks = Task.objects.using(using).select_for_update(no_key=True, of=("self",))
        task = tasks.filter(pk=due.task_id).first()
        if rule is None or task is None:
            return 0
        # Asked again, now that neither can change: it may have been completed, moved, given more time, or acted on.
        if not due_tasks(rule, now).using(using).filter(pk=task.pk, since=due.since).exists():
            return 0
        outcome, changed = _remedy(rule, task)
        firing = Firing.objects.using(using).create(
            rule=rule, task_id=task.pk, instant=due.since, fired_at=now, action=rule.action, outcome=outcome
        )
        append([_event(rule, firing, task)], using=using)  # before those of what it changes: it is their cause
        if changed:
            vars(task).update(changed)
            task.save(using=using, update_fields=changed)
        return 1


def _remedy(rule: EscalationRule, task: Task) -> tuple[Outcome, dict[str, Any]]:
    """What comes of the rule, and the columns of the task that it changes.

    Whom to notify, a subscriber of the event finds out.
    """
    if rule.action == Action.REASSIGN:
        user_id = least_loaded(project_id=task.project_id, besides=task.assignee_id)
        return (Outcome.NOBODY, {}) if user_id is None else (Outcome.DONE, {"assignee_id": user_id})
    if rule.action == Action.RAISE_PRIORITY:
        higher = Priority.values[Priority.values.index(task.priority) + 1 :]
        return (Outcome.DONE, {"priority": higher[0]}) if higher else (Outcome.ALREADY_URGENT, {})
    return Outcome.DONE, {}


def _event(rule: EscalationRule, firing: Firing, task: Task) -> Event:
    told = {
        "rule": rule.pk,
        "action": rule.action,
        "role": rule.role,
        "since": firing.instant,
        "outcome": firing.outcome,
    }
    return Event(
        project_id=task.project_id,
        type=event_types.TASK_ESCALATED,
        object_type="task",
        object_id=str(task.pk),
        changes={name: [None, event_types.encode(value)] for name, value in told.items() if value is not None},
    )
