"""A mail server, and a broker."""

import os

import pytest
from kombu import Connection

from tests.mail.conftest import sink

__all__ = ["broker", "sink"]


@pytest.fixture(scope="session")
def broker():
    """`scripts/run_tests.py` says where it is; a plain pytest does without, if it is not at the usual place."""
    url = os.environ.get("PM_TEST_RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672//")
    try:
        with Connection(url, connect_timeout=5) as connection:
            connection.ensure_connection(max_retries=0)
    except OSError as error:
        if "PM_TEST_RABBITMQ_URL" in os.environ:
            raise
        pytest.skip(f"needs RabbitMQ: {error}")
    return url
