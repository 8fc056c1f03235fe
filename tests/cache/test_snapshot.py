"""A reader's snapshot on SQLite takes no write lock, and leaves the connection as it was."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time

import pytest
from django.conf import settings
from django.db import OperationalError, connection, connections, transaction
from rest_framework.test import APIClient

from django_pm.events.feed import number_all
from django_pm.events.snapshots import snapshot
from django_pm.models import Project
from tests.cache.support import came_from
from tests.factories import make_project, make_task, make_user

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("sqlite" not in settings.DATABASES["default"]["ENGINE"], reason="about SQLite's locks"),
]


@pytest.fixture
def in_a_file(tmp_path):
    """The tables, and what is in them, in a file that several connections can have open."""
    owner = make_user("owner")
    make_task(make_project(owner))
    number_all()
    path = tmp_path / "site.sqlite3"
    with contextlib.closing(sqlite3.connect(path)) as copy:
        connection.connection.backup(copy)
    with contextlib.closing(sqlite3.connect(path)) as copy:
        assert copy.execute("PRAGMA journal_mode=WAL").fetchone() == ("wal",)
    memory, connection.connection = connection.connection, None
    name = connection.settings_dict["NAME"]
    connection.settings_dict["NAME"] = str(path)
    connection.is_in_memory_db = lambda: False
    yield path, owner
    del connection.is_in_memory_db
    connection.close()
    connection.settings_dict["NAME"] = name
    connection.connection = memory


def test_a_reader_is_not_held_up_by_a_writer(in_a_file):
    path, owner = in_a_file
    client = APIClient()
    client.force_authenticate(owner)
    assert connection.transaction_mode == "IMMEDIATE"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE django_pm_task SET title = 'not yet'")
        began = time.monotonic()
        for url in ("/tasks/", "/projects/"):
            assert came_from(client, url) == "made"
            assert b"not yet" not in client.get(url).content
        assert time.monotonic() - began < 5  # the timeout of a site that waits for a lock is 20
        writer.execute("ROLLBACK")


def test_a_writer_is_not_held_up_by_a_reader(in_a_file):
    path, _owner = in_a_file
    assert connection.connection is None  # the first that a connection is asked for
    with snapshot("default"):
        before = Project.objects.get().name
        with contextlib.closing(sqlite3.connect(path, timeout=0.1)) as writer, writer:
            writer.execute("UPDATE django_pm_project SET name = 'renamed'")
        assert Project.objects.get().name == before
    assert Project.objects.get().name == "renamed"


def test_the_mode_is_restored(in_a_file):
    path, _owner = in_a_file
    with snapshot("default"):
        pass
    assert connection.transaction_mode == "IMMEDIATE"
    with pytest.raises(KeyError), snapshot("default"):
        raise KeyError
    assert connection.transaction_mode == "IMMEDIATE"
    assert not connection.in_atomic_block
    with transaction.atomic(), snapshot("default"):
        assert connection.transaction_mode == "IMMEDIATE"  # a caller's own transaction is as it was begun
    with contextlib.closing(sqlite3.connect(path, timeout=0.1, isolation_level=None)) as writer:  # noqa: SIM117
        with transaction.atomic(), pytest.raises(sqlite3.OperationalError):
            writer.execute("BEGIN IMMEDIATE")
    with pytest.raises(OperationalError), snapshot("default"), connection.cursor() as cursor:
        cursor.execute("SELECT nothing FROM nowhere")
    assert connection.transaction_mode == "IMMEDIATE"


def test_each_thread_has_its_own():
    """A snapshot in one thread is nothing to the transactions of another."""
    found = []

    def look() -> None:
        own = connections["default"]
        own.ensure_connection()
        found.append(own.transaction_mode)
        own.close()

    with snapshot("default"):
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
    assert found == ["IMMEDIATE"]
