"""Our schedule in the tables of django-celery-beat. `tox run -e beat` runs this; nothing else installs that package."""

import pytest
from celery import Celery

from django_pm.schedules import configure
from django_pm.services.jobs import JOBS

schedulers = pytest.importorskip("django_celery_beat.schedulers", reason="needs django-celery-beat")
models = pytest.importorskip("django_celery_beat.models", reason="needs django-celery-beat")

pytestmark = pytest.mark.django_db


def started():
    """A beat that has just started, with the site's app."""
    app = Celery("host", broker="memory://", set_as_current=False)
    app.autodiscover_tasks(["django_pm"], force=True)
    configure(app)
    return schedulers.DatabaseScheduler(app=app)


def test_each_entry_is_there_once_however_often_it_starts():
    for _ in range(2):
        scheduler = started()
        ours = {name: entry for name, entry in scheduler.schedule.items() if name.startswith("django_pm.")}
        assert {name: entry.schedule.run_every for name, entry in ours.items()} == {
            f"django_pm.{job.name}": job.every for job in JOBS
        }
    rows = models.PeriodicTask.objects.filter(name__startswith="django_pm.").values_list("task", "queue")
    assert sorted(rows) == sorted((f"django_pm.tasks.{job.name}", job.queue) for job in JOBS)


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_what_it_sends_goes_to_our_queue_and_does_not_wait_for_ever(job):
    scheduler = started()
    queue = scheduler.app.amqp.queues[job.queue]
    with scheduler.app.connection_for_read() as connection, connection.SimpleQueue(queue) as sent:
        sent.clear()
        scheduler.apply_async(scheduler.schedule[f"django_pm.{job.name}"], advance=False)
        message = sent.get(block=False)
        message.ack()
    assert message.headers["task"] == f"django_pm.tasks.{job.name}"
    assert message.headers["expires"]


def test_what_the_host_switches_off_stays_off():
    started()
    models.PeriodicTask.objects.filter(name="django_pm.prune").update(enabled=False)
    assert "django_pm.prune" not in started().schedule
