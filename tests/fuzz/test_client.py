"""A Python client that is generated from the committed OpenAPI document does a day's work on the live site.

The generator runs as a command, as a client's author would run it, and what it writes is imported as it stands.
"""

from __future__ import annotations

import datetime as dt
import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.api.test_openapi import COMMITTED
from tests.example.site import Site

pytest.importorskip("openapi_python_client", reason="needs the dependency group “fuzz”: make fuzz")

PACKAGE = "generated_pm_client"
DUE = dt.datetime(2030, 1, 31, 12, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Any]]:
    """`generated("models.task")`: a module of the client."""
    folder = tmp_path_factory.mktemp("client")
    (folder / "config.yml").write_text("post_hooks: []\n")  # they tidy the code, with a ruff that need not be there
    options = {
        "--meta": "none",
        "--path": COMMITTED,
        "--output-path": folder / PACKAGE,
        "--config": folder / "config.yml",
    }
    done = subprocess.run(
        [sys.executable, "-m", "openapi_python_client", "generate", "--fail-on-warning"]
        + [str(word) for option in options.items() for word in option],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    sys.path.insert(0, str(folder))
    try:
        yield lambda name: importlib.import_module(f"{PACKAGE}.{name}")
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
            del sys.modules[name]


@pytest.fixture
def call(generated: Callable[[str], Any], site: Site) -> Iterator[Callable[..., Any]]:
    """`call("tasks.tasks_create", body=…)`: the whole response, by the client of a person with an API token."""
    made = site.browser().ask("/tokens/", user="mo", json_body={"name": "generated client", "scope": "write"})
    assert made.status == 201, made.text
    client = generated("client").AuthenticatedClient(
        base_url=site.url,
        token=made.json["secret"],
        raise_on_unexpected_status=True,
        httpx_args={"trust_env": False},
    )
    with client:
        yield lambda name, *keys, **words: generated(f"api.{name}").sync_detailed(*keys, client=client, **words)


def test_a_generated_client_works(generated: Callable[[str], Any], call: Callable[..., Any]) -> None:
    models = generated("models")

    project = call("projects.projects_create", body=models.ProjectRequest(name="By a generated client")).parsed
    assert isinstance(project, models.Project)
    assert (project.name, project.task_count) == ("By a generated client", 0)

    # The same request twice, as after a lost answer: one task.
    wanted = models.TaskRequest(
        project=project.id, title="Made once", due_date=DUE, priority=models.Priority.HIGH, assignee=project.created_by
    )
    first = call("tasks.tasks_create", body=wanted, idempotency_key="a key")
    again = call("tasks.tasks_create", body=wanted, idempotency_key="a key")
    task = first.parsed
    assert (first.status_code, again.status_code) == (201, 201)
    assert isinstance(task, models.Task)
    assert (task.due_date, task.priority, task.status) == (DUE, models.Priority.HIGH, models.Status.PENDING)
    assert again.parsed.id == task.id
    assert again.headers["Idempotent-Replayed"] == "true"

    # Two people edit what they both have read: the second is told.
    change = models.PatchedTaskRequest(status=models.Status.COMPLETED)
    tag = first.headers["ETag"]
    changed = call("tasks.tasks_partial_update", task.id, body=change, if_match=tag)
    assert changed.status_code == 200
    assert changed.parsed.status is models.Status.COMPLETED
    assert isinstance(changed.parsed.completed_at, dt.datetime)
    late = call("tasks.tasks_partial_update", task.id, body=models.PatchedTaskRequest(title="Late"), if_match=tag)
    assert late.status_code == 412
    assert isinstance(late.parsed, models.Error)
    assert late.parsed["detail"]

    unchanged = call("tasks.tasks_retrieve", task.id, if_none_match=changed.headers["ETag"])
    assert (unchanged.status_code, unchanged.content) == (304, b"")

    page = call("tasks.tasks_list", project=project.id, status=[models.Status.COMPLETED], count=True).parsed
    assert isinstance(page, models.PaginatedTaskList)
    assert [row.title for row in page.results] == ["Made once"]
    assert (page.count, page.next_) == (1, None)

    comment = models.CommentRequest(content="Done.")
    assert call("tasks.tasks_comments_create", task.id, body=comment).status_code == 201

    feed = call("projects.projects_events_list", project.id, since=0).parsed
    assert isinstance(feed, models.EventPage)
    types = models.EventType
    assert [event.type_ for event in feed.results] == [
        types.PROJECT_CREATED,
        types.MEMBER_ADDED,
        types.TASK_CREATED,
        types.TASK_UPDATED,
        types.COMMENT_CREATED,
    ]
    assert [event.seq for event in feed.results] == [1, 2, 3, 4, 5]
    assert feed.results[3].changes["status"] == ["pending", "completed"]
    gone = call("projects.projects_events_list", project.id, since=feed.head + 1)
    assert gone.status_code == 410
    assert gone.parsed.reason is models.ResetReason.AHEAD

    assert call("tasks.tasks_destroy", task.id).status_code == 204
    assert call("tasks.tasks_retrieve", task.id).status_code == 404
