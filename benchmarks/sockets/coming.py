"""What it costs when somebody comes: a welcome, however many projects they see, and what they missed."""

from __future__ import annotations

import json
import time
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connection
from websockets.sync.client import connect

from benchmarks.database import empty, tidy
from benchmarks.http import HOST, Server, running
from benchmarks.measure import Samples, Table, milliseconds
from benchmarks.plain.models import PlainMembership, PlainProject
from benchmarks.sockets.fanout import sessions_of, uvicorn
from django_pm.events import feed
from django_pm.models import Task

MISSED = 1_000


def run(*, short: bool) -> list[Table]:
    rounds = 5 if short else 31
    numbers = (10, 1_000, 10_000) if short else (10, 1_000, 100_000)
    user_model = get_user_model()
    welcomes = Table("Welcome", "who", "projects", "first, ms", "then, ms", "processor ms", "bytes", "heads", "rounds")
    for number in numbers:
        for who in ("member", "superuser"):
            user = user_model.objects.create(username=f"{who}{number}", is_superuser=who == "superuser")
            projects = _projects(number, user)
            _welcomes(welcomes, who, number, user, rounds)
            if number == numbers[0] and who == "member":
                resume = _resume(user, projects[0], rounds)
            empty()
    user_model.objects.all().delete()
    return [welcomes, resume]


def _projects(number: int, user: Any) -> list[int]:
    """So many, each with a stream and an event in it, and a membership."""
    projects = PlainProject.objects.bulk_create([PlainProject(name=f"Project {n}") for n in range(number)], 5_000)
    PlainMembership.objects.bulk_create([PlainMembership(project=each, user=user) for each in projects], 5_000)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO django_pm_projectstream (project_id, seq, floor, epoch)"
            " SELECT id, 1, 1, substr(md5(id::text), 1, 16) FROM django_pm_project"
        )
        cursor.execute(
            "INSERT INTO django_pm_event (uuid, project_id, seq, type, object_type, object_id, actor_name, changes,"
            " version, origin, created_at) SELECT gen_random_uuid(), id, 1, 'project.created', 'project', id::text, '',"
            " '{}', 1, 'benchmark', now() FROM django_pm_project"
        )
    tidy()
    return [project.pk for project in projects]


def _welcomes(table: Table, who: str, number: int, user: Any, rounds: int) -> None:
    samples = Samples()
    (session,) = sessions_of([user])
    # Whoever comes first to a process may have more to wait for.
    with running(uvicorn("ours")) as server, _socket(server, session) as keeps_open:
        start = time.perf_counter()
        keeps_open.recv()
        first = time.perf_counter() - start
        for _ in range(rounds):
            worked = server.cpu_seconds()
            with _socket(server, session) as socket:
                start = time.perf_counter()
                text = socket.recv()
                samples.add("welcome", time.perf_counter() - start)
            samples.add("work", server.cpu_seconds() - worked)
    heads = len(json.loads(text)["heads"])
    seconds, work = samples.median("welcome"), samples.median("work")
    cells = (milliseconds(first), milliseconds(seconds), f"{work * 1000:.0f}", f"{len(text):,}", str(heads))
    table.add(who, f"{number:,}", *cells, str(rounds))


def _resume(user: Any, project_id: int, rounds: int) -> Table:
    """From the resume frame to the last of what was missed, as the client sees it, and the server's work."""
    Task.objects.bulk_create([Task(project_id=project_id, title=f"Wall {n}") for n in range(MISSED)])
    feed.number(project_id)
    head = feed.read(project_id, limit=1).head
    samples = Samples()
    (session,) = sessions_of([user])
    with running(uvicorn("ours")) as server:
        for turn in range(rounds + 1):
            with _socket(server, session, "?resume=true") as socket:
                socket.recv()
                worked = server.cpu_seconds()
                start = time.perf_counter()
                socket.send(json.dumps({"type": "resume", "since": {str(project_id): head - MISSED}}))
                while "resumed" not in (text := str(socket.recv())):
                    pass
                if turn:
                    samples.add("resume", time.perf_counter() - start)
                    samples.add("work", server.cpu_seconds() - worked)
                assert json.loads(text)["replayed"] == MISSED
    table = Table(f"Resume of {MISSED:,} events", "ms", "server's processor ms", "rounds")
    table.add(milliseconds(samples.median("resume")), f"{samples.median('work') * 1000:.0f}", str(rounds))
    return table


def _socket(server: Server, session: str, query: str = "") -> Any:
    origin = f"http://{HOST}:{server.port}"
    url = f"ws://{HOST}:{server.port}/ws/notifications/{query}"
    return connect(url, origin=origin, additional_headers={"Cookie": f"sessionid={session}"}, max_size=None)  # type: ignore[arg-type]
