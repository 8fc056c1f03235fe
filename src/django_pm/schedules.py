"""How a site's Celery app is told of our tasks: their schedule, their queues, and options with which none is lost.

In the module that makes the app::

    from django_pm.schedules import configure

    app = Celery("yoursite")
    app.config_from_object("django.conf:settings", namespace="CELERY")
    app.autodiscover_tasks()
    configure(app)
"""

from __future__ import annotations

from functools import partial
from typing import Any

from celery import Celery
from kombu.entity import Exchange, Queue

from django_pm.services.findings import Check, Finding, also, broken, fine, told
from django_pm.services.jobs import JOBS, QUEUES

SOCKET_SECONDS = 3


def beat_schedule() -> dict[str, dict[str, Any]]:
    """Entries for ``beat_schedule``, or for the tables of django-celery-beat: intervals, which know no time zone."""
    return {
        f"django_pm.{job.name}": {
            "task": f"django_pm.tasks.{job.name}",
            "schedule": job.every.total_seconds(),
            "options": {"queue": job.queue},
        }
        for job in JOBS
    }


def queues(app: Celery, *, quorum: bool = True) -> list[Queue]:
    """Our queues, replicated ones (quorum queues) where the broker is RabbitMQ, each with an exchange of its own.

    Without one, a queue is bound as the app's own is, and would get whatever is published to that exchange by name. It
    is a direct one: a topic would be bound to by every worker that starts, whether it is there yet or not.
    """
    arguments = {"x-queue-type": "quorum"} if quorum and _is_rabbitmq(app) else None
    exchanges = {name: Exchange(name, type="direct") for name in QUEUES}
    return [Queue(name, exchange, name, queue_arguments=arguments) for name, exchange in exchanges.items()]


def configure(app: Celery, *, quorum: bool = True) -> None:
    """Add our schedule, queues and routes to those of ``app``, and set how connections to the broker are kept.

    Called after the app has its own settings: its schedule, queues, routes and transport options stay, and a second
    call changes nothing. A worker that loses the broker is always told to let go of what it does, and to wait for the
    broker when it starts.

    One quorum queue changes how all workers of the app prefetch, and how its tasks with a countdown are published. A
    site whose own tasks do not get on with that says ``quorum=False``: a tick that is lost is made up for by the next.
    """
    conf = app.conf
    conf.beat_schedule = {**beat_schedule(), **(conf.beat_schedule or {})}
    theirs = app.amqp.Queues(conf.task_queues)  # whatever form they have; the default one if none are set
    conf.task_queues = [*theirs.values(), *(queue for queue in queues(app, quorum=quorum) if queue.name not in theirs)]
    routers = conf.task_routes or []
    ours = {f"django_pm.tasks.{job.name}": {"queue": job.queue} for job in JOBS}
    routers = list(routers) if isinstance(routers, (list, tuple)) else [routers]
    conf.task_routes = routers if ours in routers else [*routers, ours]
    # A worker whose broker is gone must not go on with what the broker will give to another.
    conf.worker_cancel_long_running_tasks_on_connection_loss = True
    conf.broker_connection_retry_on_startup = True
    if _is_rabbitmq(app):
        # A publish counts once RabbitMQ has confirmed it, and waits for no more than some seconds when it hangs.
        options = {"confirm_publish": True, "read_timeout": SOCKET_SECONDS, "write_timeout": SOCKET_SECONDS}
        conf.broker_transport_options = {**options, **(conf.broker_transport_options or {})}
    also(Check("broker", partial(broker, app), patience=2 * SOCKET_SECONDS))


def broker(app: Celery) -> Finding:
    """Whether the app's broker lets us in; for ``manage.py pm_doctor``."""
    with app.connection_for_write(connect_timeout=SOCKET_SECONDS) as connection:
        where = connection.as_uri()  # without the password
        try:
            connection.ensure_connection(max_retries=0)
        except Exception as error:  # each transport has errors of its own
            return broken("broker", f"{where}: {told(error)}", "Start it, or correct the app's broker_url.")
        return fine("broker", f"{where} answers")


def _is_rabbitmq(app: Celery) -> bool:
    url = app.conf.broker_write_url or app.conf.broker_url or "amqp://"
    return str(url).startswith(("amqp", "pyamqp"))
