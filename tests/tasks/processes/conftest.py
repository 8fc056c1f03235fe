"""Celery at the broker."""

import pytest
from django.db import connections

from tests.tasks.processes.parts import Celery, own_rabbitmq


@pytest.fixture
def celery(transactional_db, broker, sink, tmp_path):
    made = Celery(broker, sink.port, tmp_path)
    yield made
    made.forget()
    connections.close_all()


@pytest.fixture
def unreliable():
    """A RabbitMQ to freeze and to kill."""
    with own_rabbitmq() as node:
        yield node
