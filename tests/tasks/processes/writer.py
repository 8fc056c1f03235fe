"""A site's process that writes through the API, with the site's Celery app loaded, as a web server has it.

`python -m tests.tasks.processes.writer <key of a user>`. For each line `write` that it is told, it makes writes of
every kind; for a line `publish`, it publishes a task, which shows that publishing would be noticed. It answers with a
line of JSON: the statuses and the seconds of the writes, what was published meanwhile, and where it connected to.
"""

import json
import os
import sys
import time

import django
from django.utils import timezone

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"

ROUNDS = 10


def write(client):
    """One write of every kind; their statuses and seconds."""
    found = []

    def send(method, path, body=None):
        began = time.perf_counter()
        response = getattr(client, method)(path, body, format="json")
        found.append((response.status_code, time.perf_counter() - began))
        return response.json() if response.content else {}

    project = send("post", "/projects/", {"name": "Moon base"})["id"]
    task = send("post", "/tasks/", {"project": project, "title": "Dig", "due_date": timezone.now().isoformat()})["id"]
    comment = send("post", f"/tasks/{task}/comments/", {"content": "Deeper."})["id"]
    send("patch", f"/comments/{comment}/", {"content": "Not so deep."})
    send("patch", f"/tasks/{task}/", {"status": "completed"})
    send("patch", f"/projects/{project}/", {"name": "Mars base"})
    token = send("post", "/tokens/", {"name": "script"})["id"]
    send("patch", "/notification-preferences/", {"time_zone": "Asia/Tokyo"})
    for path in (f"/tokens/{token}/", f"/comments/{comment}/", f"/tasks/{task}/", f"/projects/{project}/"):
        send("delete", path)
    return found


def main(user_key):
    django.setup()

    from celery.signals import before_task_publish
    from django.contrib.auth import get_user_model
    from rest_framework.test import APIClient

    from django_pm import tasks
    from tests.testsite.celery import app

    assert app.conf.broker_url == os.environ["PM_TEST_RABBITMQ_URL"]
    published, connected = [], []

    @before_task_publish.connect(weak=False)
    def note(sender=None, **_details):
        published.append(sender)

    sys.addaudithook(lambda event, values: connected.append(str(values[1])) if event == "socket.connect" else None)
    client = APIClient(raise_request_exception=False)
    client.force_authenticate(get_user_model().objects.get(pk=user_key))
    for line in sys.stdin:
        published.clear()
        connected.clear()
        writes = []
        if line == "write\n":
            for _ in range(ROUNDS):
                writes += write(client)
        else:
            tasks.relay_events.delay()
        answer = {
            "statuses": [status for status, _seconds in writes],
            "seconds": [seconds for _status, seconds in writes],
            "published": published,
            "connected": connected,
        }
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
