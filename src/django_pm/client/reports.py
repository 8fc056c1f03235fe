"""The daily reports of projects: ``client.reports``, as steps, for both clients."""

from __future__ import annotations

import datetime as dt

from django_pm.client.objects import Key, Project, Report
from django_pm.client.resources import ObjectSteps, object_of
from django_pm.client.steps import Steps, Stream, error_of, exchange, key_of, path_of, send
from django_pm.client.verbs import AsyncResource, SyncResource, listing, verb


class ReportVerbs(ObjectSteps):
    """``client.reports``: what happened in a project, day by day."""

    @listing
    def list(self, project: Project | Key, *, page_size: int | None = None) -> Stream[Report]:
        """The reports of a project, the latest first."""
        return self._listed(Report, _path(project), (), page_size)

    @verb
    def get(self, project: Project | Key, date: dt.date | str) -> Steps[Report]:
        """The report of this date of the project's own time zone."""
        return self._fetched(Report, _path(project, date))

    @verb
    def make(self, project: Project | Key, *, force: bool = False) -> Steps[Report]:
        """Today's, made if it is not there; with ``force`` made anew, for which one must be a manager.

        There is one for each date, however often this is sent.
        """
        request = send("POST", _path(project), {"force": force})
        outcome = yield from exchange(request, self._retry)
        if outcome.status not in (200, 201):
            raise error_of(request, outcome)
        return object_of(Report, request, outcome)


class Reports(ReportVerbs, SyncResource): ...


class AsyncReports(ReportVerbs, AsyncResource): ...


def _path(project: Project | Key, *date: dt.date | str) -> str:
    # A datetime is a date to Python, and would be asked for with its time of day: 404.
    days = [day.date() if isinstance(day, dt.datetime) else day for day in date]
    return path_of("projects", key_of(project), "reports", *days)
