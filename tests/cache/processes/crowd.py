"""A process in which many threads ask for the same list at the same moment: `python -m … user path threads how`.

It says `ready`, waits for a line, says `making` for each time that a list is made, and in the end what everybody got.
`how` is how many seconds it takes to make a list.
"""

import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import django

PATIENCE = 30


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(key: str, path: str, threads: str, seconds: str) -> None:
    django.setup()
    from django.conf import settings
    from django.contrib.auth import get_user_model
    from django.db import connection
    from rest_framework.test import APIClient

    from django_pm.api import lists
    from django_pm.cache import breaker

    # What makes calls slow here is thirty threads on the processors of a test machine.
    breaker.SLOW_SECONDS = settings.CACHES["default"]["OPTIONS"]["SOCKET_TIMEOUT"]
    settings.DJANGO_PM = {"THROTTLE_USER": ""}  # nothing but lists at the cache
    user = get_user_model().objects.get(pk=key)
    connection.close()
    make = lists.ListReading.make

    def make_slowly(self: Any) -> bytes:
        say("making")
        time.sleep(float(seconds))
        return make(self)

    lists.ListReading.make = make_slowly
    together = threading.Barrier(int(threads))

    def visit(_number: int) -> list[Any]:
        client = APIClient()
        client.force_authenticate(user)
        connection.ensure_connection()
        together.wait(PATIENCE)
        began = time.monotonic()
        response = client.get(path)
        took = time.monotonic() - began
        connection.close()
        return [response.status_code, response.content.decode(), took]

    with ThreadPoolExecutor(int(threads)) as pool:
        say("ready")
        sys.stdin.readline()
        found = list(pool.map(visit, range(int(threads))))
    counts = {outcome.value: number for outcome, number in lists.answers.counts.items()}
    say(json.dumps({"visits": found, "counts": counts}))


if __name__ == "__main__":
    main(*sys.argv[1:])
