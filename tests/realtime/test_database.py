"""What sockets do while the database hangs or is away."""

import logging
import threading

import psycopg
import pytest
from django.contrib.sessions.models import Session
from django.db import connection

from django_pm.models import Event
from django_pm.realtime import hub, protocol, threads
from tests.factories import make_task

pytestmark = pytest.mark.postgres


@pytest.fixture
def locked():
    """The log locked by somebody else, so that whoever reads it waits; released by calling it."""
    parameters = connection.get_connection_params()
    keep = ("host", "port", "user", "password", "dbname")
    other = psycopg.connect(**{name: parameters[name] for name in keep if parameters.get(name)})

    def release():
        other.rollback()

    def lock():
        other.execute(f"LOCK TABLE {Event._meta.db_table} IN ACCESS EXCLUSIVE MODE")
        return release

    yield lock
    other.close()


def test_heartbeats_go_on_and_nothing_is_lost(site, owner, project, locked, monkeypatch):
    monkeypatch.setattr(hub, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(protocol, "HEARTBEAT_SECONDS", 1)
    with site.socket(owner) as socket:
        socket.frame("welcome")
        release = locked()
        writer = threading.Thread(target=in_a_thread(lambda: make_task(project)))
        writer.start()
        beats = [socket.frame()["type"] for _ in range(2)]
        assert beats == ["heartbeat"] * 2
        release()
        writer.join()
        assert socket.frame("task.created")["seq"] == 3


def test_who_comes_meanwhile_is_asked_to_try_later(site, owner, project, locked, monkeypatch, caplog):
    monkeypatch.setattr(threads, "ANSWER_SECONDS", 0.3)
    release = locked()
    try:
        with site.socket(owner) as socket, caplog.at_level(logging.WARNING):
            assert socket.closed() == protocol.CLOSE_TRY_LATER
        assert "the database is away" in caplog.text
        assert "Traceback" not in caplog.text
    finally:
        release()
    monkeypatch.undo()
    with site.socket(owner) as socket:
        socket.frame("welcome")
        make_task(project)
        assert socket.frame("task.created")["seq"] == 3


def test_connections_that_are_cut_off_cost_nothing_but_a_moment(site, owner, project, monkeypatch):
    monkeypatch.setattr(hub, "BACK_OFF_SECONDS", 0.1)
    with site.socket(owner) as socket:
        socket.frame("welcome")
        for number in range(3):
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            make_task(project)
            assert socket.frame("task.created")["seq"] == 3 + number


@pytest.mark.parametrize("how", ["logout", "deactivation"])
def test_who_is_signed_out_is_closed_without_an_event(site, owner, how):
    """Though nothing happens in any project."""
    with site.socket(owner) as socket:
        socket.frame("welcome")
        if how == "logout":
            Session.objects.all().delete()
        else:
            type(owner).objects.filter(pk=owner.pk).update(is_active=False)
        assert socket.closed() == protocol.CLOSE_NOT_SIGNED_IN


def in_a_thread(work):
    def run():
        try:
            work()
        finally:
            connection.close()

    return run
