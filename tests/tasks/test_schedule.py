"""What a host's Celery app is given, without a broker."""

import datetime as dt
import os
import signal
import subprocess
import sys

import pytest
from celery import Celery
from celery.beat import ScheduleEntry, Scheduler
from celery.utils.quorum_queues import detect_quorum_queues
from django.core.management import call_command
from django.utils import timezone
from kombu import Exchange, Queue

from django_pm import schedules, tasks
from django_pm.management.commands import pm_run
from django_pm.services import jobs
from django_pm.services.jobs import Job

NAMES = {
    "relay_events",
    "send_due_reminders",
    "queue_digests",
    "send_mail_queue",
    "send_daily_reports",
    "escalate",
    "prune",
}


def app_with(**settings):
    app = Celery("host", broker="amqp://guest@127.0.0.1//")
    app.conf.update(settings)
    schedules.configure(app)
    return app


done = []


def fail():
    done.append("fail")
    raise ZeroDivisionError("as a job might")


def first():
    done.append("first")


def second():
    done.append("second")


class TestTasks:
    def test_there_is_one_for_each_job(self):
        assert {job.name for job in jobs.JOBS} == NAMES
        for name in NAMES:
            assert getattr(tasks, name).name == f"django_pm.tasks.{name}"

    @pytest.mark.parametrize("name", sorted(NAMES))
    def test_none_is_lost_with_its_worker_or_works_for_long(self, name):
        task = getattr(tasks, name)
        assert (task.acks_late, task.reject_on_worker_lost, task.ignore_result) == (True, True, True)
        assert task.time_limit <= 300
        assert task.soft_time_limit < task.time_limit

    @pytest.mark.parametrize("job", jobs.JOBS, ids=lambda job: job.name)
    def test_none_waits_for_a_worker_for_ever(self, job):
        app = Celery("host", broker="memory://", set_as_current=False)
        schedules.configure(app)
        app.autodiscover_tasks(["django_pm"], force=True)
        beat = Scheduler(app=app, lazy=True)
        with app.connection_for_read() as connection, connection.SimpleQueue(app.amqp.queues[job.queue]) as sent:
            sent.clear()
            before = timezone.now()
            entry = schedules.beat_schedule()[f"django_pm.{job.name}"]
            beat.apply_async(beat.Entry(job.name, app=app, **entry))
            message = sent.get(block=False)
            message.ack()
        assert message.headers["task"] == f"django_pm.tasks.{job.name}"
        waits = dt.datetime.fromisoformat(message.headers["expires"]) - before
        expected = max(job.every, dt.timedelta(minutes=1))  # the clocks of beat and worker may differ
        assert expected <= waits < expected + dt.timedelta(seconds=10)

    @pytest.mark.parametrize("name", sorted(NAMES))
    @pytest.mark.django_db
    def test_each_does_its_job(self, name):
        assert getattr(tasks, name)() is None


class TestConfigure:
    def test_intervals_that_know_no_time_zone(self):
        for name, entry in schedules.beat_schedule().items():
            made = ScheduleEntry(name=name, app=app_with(), **entry)
            assert made.schedule.run_every.total_seconds() == entry["schedule"]
            assert entry["options"]["queue"] in jobs.QUEUES

    def test_before_django_is_set_up(self):
        """A site's Celery app is made when its settings' package is imported."""
        code = (
            "from celery import Celery; from django_pm.schedules import configure; from django.apps import apps;"
            "app = Celery('site', broker='amqp://'); configure(app);"
            "print(len(app.conf.beat_schedule), apps.ready)"
        )
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert found.stdout == f"{len(NAMES)} False\n"

    def test_the_hosts_own_stay(self):
        mine = {"task": "mine", "schedule": 5.0}
        app = app_with(
            beat_schedule={"mine": mine, "django_pm.prune": mine},
            task_routes={"mine": {"queue": "slow"}},
            broker_transport_options={"read_timeout": 9},
        )
        assert app.conf.beat_schedule["mine"] == app.conf.beat_schedule["django_pm.prune"] == mine
        assert app.conf.broker_transport_options["read_timeout"] == 9
        assert app.conf.broker_transport_options["confirm_publish"]
        router = app.amqp.Router(queues=app.amqp.queues)
        assert router.route({}, "mine")["queue"].name == "slow"
        assert router.route({}, "django_pm.tasks.send_mail_queue")["queue"].name == "pm.mail"
        assert router.route({}, "django_pm.tasks.relay_events")["queue"].name == "pm.events"
        assert "celery" in app.amqp.queues

    @pytest.mark.parametrize("kind", ["direct", "topic"])
    def test_no_queue_of_ours_gets_what_is_published_to_another(self, kind):
        """Each has an exchange of its own: bound to the app's default one, all would get all of the host's tasks."""
        app = app_with(task_default_exchange_type=kind)
        bound = {queue.name: (queue.exchange.name, queue.exchange.type) for queue in app.amqp.queues.values()}
        assert bound == {"celery": ("celery", kind), **{name: (name, "direct") for name in jobs.QUEUES}}
        assert {queue.routing_key for queue in app.amqp.queues.values()} == bound.keys()

    @pytest.mark.parametrize("quorum", [True, False])
    def test_queues_are_replicated_unless_the_host_minds(self, quorum):
        """One quorum queue changes how all workers of the app prefetch, and all its tasks with a countdown."""
        app = Celery("host", broker="amqp://guest@127.0.0.1//")
        schedules.configure(app, quorum=quorum)
        assert detect_quorum_queues(app, "amqp")[0] == quorum
        arguments = {name: app.amqp.queues[name].queue_arguments for name in jobs.QUEUES}
        assert set(map(str, arguments.values())) == {"{'x-queue-type': 'quorum'}" if quorum else "None"}

    def test_another_broker_has_no_such_queues(self):
        app = Celery("host", broker="redis://127.0.0.1")
        schedules.configure(app)
        assert not any(app.amqp.queues[name].queue_arguments for name in jobs.QUEUES)

    @pytest.mark.parametrize(
        "theirs", [[Queue("slow", Exchange("all"), "slow.#")], {"slow": {"exchange": "all", "routing_key": "slow.#"}}]
    )
    def test_the_hosts_own_queues_stay_as_they_are(self, theirs):
        app = app_with(task_queues=theirs)
        assert set(app.amqp.queues) == {"slow", *jobs.QUEUES}
        assert (app.amqp.queues["slow"].exchange.name, app.amqp.queues["slow"].routing_key) == ("all", "slow.#")

    @pytest.mark.parametrize("in_a_list", [False, True])
    def test_the_hosts_own_routers_are_asked_first(self, in_a_list):
        def router(name, args, kwargs, options, task=None, **others):
            return {"queue": "slow"} if name in {"mine", "django_pm.tasks.prune"} else None

        app = app_with(task_routes=[router, {"other": {"queue": "fast"}}] if in_a_list else router)
        route = app.amqp.Router(queues=app.amqp.queues).route
        assert route({}, "mine")["queue"].name == route({}, "django_pm.tasks.prune")["queue"].name == "slow"
        assert route({}, "django_pm.tasks.relay_events")["queue"].name == "pm.events"
        if in_a_list:
            assert route({}, "other")["queue"].name == "fast"

    def test_a_second_time_changes_nothing(self):
        app = app_with(task_routes={"mine": {"queue": "slow"}})
        names = ("beat_schedule", "task_queues", "task_routes", "broker_transport_options")
        before = {name: app.conf[name] for name in names}
        schedules.configure(app)
        assert {name: app.conf[name] for name in names} == before

    def test_another_broker_is_told_nothing_of_rabbitmq(self):
        app = Celery("host", broker="redis://127.0.0.1")
        schedules.configure(app)
        assert not app.conf.broker_transport_options


class TestWithoutCelery:
    @pytest.mark.django_db
    def test_everything_once(self, monkeypatch, caplog):
        names = ("fail", "first", "second")
        every = jobs.JOBS[0].every
        monkeypatch.setattr(pm_run, "JOBS", tuple(Job(name, every, "q", f"{__name__}.{name}") for name in names))
        done.clear()
        call_command("pm_run", once=True)
        assert done == ["fail", "first", "second"]
        assert "fail failed; it is tried again when it is due." in caplog.text

    @pytest.mark.django_db
    def test_what_has_much_to_do_takes_turns_with_the_others(self, monkeypatch):
        """One who sends ten thousand messages, one after the other, would keep events from their subscribers."""
        said = []
        monkeypatch.setattr(pm_run, "TURN", dt.timedelta(0))  # so it has more to do, every time

        def long(*, for_at_most):
            said.append(for_at_most)
            if len(said) == 6:
                os.kill(os.getpid(), signal.SIGTERM)

        monkeypatch.setattr(f"{__name__}.first", long)
        monkeypatch.setattr(f"{__name__}.second", lambda: said.append("second"))
        seldom = ("q", f"{__name__}.first", True), ("q", f"{__name__}.second")
        monkeypatch.setattr(pm_run, "JOBS", [Job("job", dt.timedelta(hours=1), *options) for options in seldom])
        previous = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
        try:
            call_command("pm_run")
        finally:
            for number, handler in zip((signal.SIGTERM, signal.SIGINT), previous, strict=True):
                signal.signal(number, handler)
        assert said == [pm_run.TURN, "second", *[pm_run.TURN] * 4]

    @pytest.mark.django_db
    def test_once_is_all_there_is_to_do(self, monkeypatch):
        said = []
        monkeypatch.setattr(f"{__name__}.first", lambda for_at_most: said.append(for_at_most))
        monkeypatch.setattr(pm_run, "JOBS", [Job("job", dt.timedelta(hours=1), "q", f"{__name__}.first", True)])
        call_command("pm_run", once=True)
        assert said == [dt.timedelta.max]

    @pytest.mark.django_db
    def test_what_there_is_to_do_is_there(self, caplog):
        call_command("pm_run", once=True)
        assert caplog.text == ""

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_it_ends_when_it_is_told_to(self, number):
        """Between two jobs, and with no error."""
        process = subprocess.Popen([sys.executable, "-m", "tests.tasks.endless"], stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "working\n"
        process.send_signal(number)
        assert process.wait(20) == 0
        assert process.stdout.read() == "worked\n"
        process.stdout.close()
