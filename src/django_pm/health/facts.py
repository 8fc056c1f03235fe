"""What the database says of the work that waits, in the form of Prometheus; asked when Prometheus asks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from math import inf

from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from django_pm.services import backlog

logger = logging.getLogger(__name__)


def unnumbered() -> Metric:
    help_text = "Age of the oldest event that nobody has read yet."
    seconds = backlog.unnumbered_for(timezone.now()).total_seconds()
    return GaugeMetricFamily("django_pm_oldest_unnumbered_event_seconds", help_text, value=seconds)


def due() -> Metric:
    help_text = "For how long the oldest of what is due has been waiting: mail, reminders to queue, reports to make."
    family = GaugeMetricFamily("django_pm_oldest_due_seconds", help_text, labels=["queue"])
    for queue, ask in backlog.DUE.items():
        family.add_metric([queue], ask(timezone.now()).total_seconds())
    return family


def unrelayed() -> Metric:
    help_text = "Age of the oldest event that a subscriber has not been handed, in the projects of the latest events."
    family = GaugeMetricFamily("django_pm_oldest_unrelayed_event_seconds", help_text, labels=["subscriber"])
    for subscriber, age in backlog.unrelayed_for(timezone.now()).items():
        family.add_metric([subscriber], inf if age is None else age.total_seconds())
    return family


def unfinished_mail() -> Metric:
    help_text = "Messages on their way."
    family = GaugeMetricFamily("django_pm_mail_unfinished", help_text, labels=["kind", "state"])
    for labels, number in backlog.unfinished_mail().items():
        family.add_metric(labels, number)
    return family


def ended_mail() -> Metric:
    help_text = "Messages that were queued within 24 hours and have ended."
    family = GaugeMetricFamily("django_pm_mail_ended", help_text, labels=["kind", "state"])
    for labels, number in backlog.ended_mail(timezone.now()).items():
        family.add_metric(labels, number)
    return family


def parked() -> Metric:
    help_text = "Events that a subscriber failed on and that were stepped over, of the latest 1,000."
    family = GaugeMetricFamily("django_pm_parked_events", help_text, labels=["subscriber"])
    for subscriber, number in backlog.parked_events().items():
        family.add_metric([subscriber], number)
    return family


FACTS: tuple[Callable[[], Metric], ...] = (unnumbered, due, unrelayed, unfinished_mail, ended_mail, parked)


class Facts(Collector):
    """All of them; one that cannot be asked does not keep the others from being told."""

    def collect(self) -> Iterator[Metric]:
        failed = GaugeMetricFamily(
            "django_pm_fact_failed", "Whether the database, or what else it takes, could not be asked.", labels=["fact"]
        )
        for fact in FACTS:
            try:
                yield fact()
            except Exception:  # a database that is away, or a host's policy
                logger.warning("A fact could not be had: %s", fact.__name__, exc_info=True)
                failed.add_metric([fact.__name__], 1)
            else:
                failed.add_metric([fact.__name__], 0)
        yield failed
