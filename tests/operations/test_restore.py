"""docs/backup.md, typed as it stands: who follows the site across a restored backup is reset, and misses nothing."""

import os
import queue
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from django_pm.client import Client, Event, ProjectReset
from tests.example.site import LIVE_SERVER, MANAGE, ROOT, Site, free_port, own_database
from tests.realtime.test_follow import Told

pytestmark = pytest.mark.postgres

PAGE = (ROOT / "docs" / "backup.md").read_text()
BACK_UP, RESTORE = re.findall(r"^```shell\n(.+?)^```$", PAGE, re.MULTILINE | re.DOTALL)
PATIENCE = 60  # a follower waits up to half of it between two attempts
ADA = {"auth": ("ada", "demo")}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with own_database() as variables:
        site = Site(tmp_path, **variables, DJANGO_SUPERUSER_PASSWORD="demo", NO_PROXY="127.0.0.1")
        try:
            site.must_manage("migrate", "--verbosity", "0")
            site.must_manage("createsuperuser", "--noinput", "--username", "ada", "--email", "ada@example.com")
            yield site
        finally:
            with psycopg.connect(os.environ["PM_TEST_DATABASE_URL"], autocommit=True) as connection:
                connection.execute(f'DROP DATABASE IF EXISTS "{name_of(site)}_before"')


def name_of(site: Site) -> str:
    return urlsplit(site.variables["DATABASE_URL"]).path[1:]


def type_in(site: Site, commands: str) -> None:
    """The lines of the page, in a shell where `pm` is this site's database, and `python` what runs this."""
    where = urlsplit(site.variables["DATABASE_URL"])
    reached = {"PGHOST": where.hostname, "PGPORT": str(where.port or 5432), "PGUSER": where.username}
    reached["PGPASSWORD"] = where.password
    for word, here in (("pm", name_of(site)), ("pm_before", f"{name_of(site)}_before"), ("python", sys.executable)):
        commands = re.sub(rf"\b{word}\b(?!\.dump)", here, commands)
    commands = commands.replace("pm.dump", str(site.folder / "pm.dump"))
    done = subprocess.run(
        ["bash", "-euc", commands],
        cwd=MANAGE.parent,
        env=site.environment(**{name: value for name, value in reached.items() if value}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


class Mirror:
    """The titles of a project's tasks, kept as docs/client.md says: fetched once, then by what is told."""

    def __init__(self, url: str, project: int) -> None:
        self.url, self.project = url, project
        self.resets: list[str] = []
        with Client(url, **ADA) as pm:
            head = pm.events.head(project)
            self.titles = self.fetched(pm)
        self.told = Told("sync", url, auth=ADA, since={project: head}, projects=[project])

    def fetched(self, pm: Client) -> dict[int, str]:
        return {task.id: task.title for task in pm.tasks.list(project=self.project)}

    def until(self, title: str) -> None:
        """Listen until a task of this title is there."""
        end = time.monotonic() + PATIENCE
        while title not in self.titles.values():
            assert time.monotonic() < end, (title, self.titles)
            with suppress(queue.Empty):
                self.hear(self.told.items.get(timeout=0.2))

    def hear(self, item: object) -> None:
        if isinstance(item, ProjectReset):
            self.resets.append(item.reason)
            with Client(self.url, **ADA) as pm:
                self.titles = self.fetched(pm)
        elif isinstance(item, Event) and item.object.type == "task":
            self.titles[item.object.id] = item.changes["title"][1]
        else:
            raise AssertionError(item)


def test_who_follows_is_reset_and_misses_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    port = free_port()

    def add(*titles: str) -> None:
        with Client(site.url, **ADA) as pm:
            for title in titles:
                pm.tasks.create(project=project, title=title, due_date="2031-01-01T00:00:00Z")

    with site.served(*LIVE_SERVER, port=port):
        with Client(site.url, **ADA) as pm:
            project = pm.projects.create(name="Moon base").id
        add("before")
        mirror = Mirror(site.url, project)
        try:
            type_in(site, BACK_UP)
            add("lost 1", "lost 2")
            mirror.until("lost 2")
        except BaseException:
            mirror.told.close()
            raise
    try:
        type_in(site, RESTORE)
        # Under the numbers that the mirror has seen already, while it cannot listen.
        with site.served(*LIVE_SERVER):
            add("again 1", "again 2", "again 3")
        with site.served(*LIVE_SERVER, port=port):
            add("at last")
            mirror.until("at last")
            assert mirror.resets == ["epoch"]
            assert sorted(mirror.titles.values()) == ["again 1", "again 2", "again 3", "at last", "before"]
            with Client(site.url, **ADA) as pm:
                assert mirror.titles == mirror.fetched(pm)
    finally:
        mirror.told.close()


def test_the_lines_for_compose_do_the_same() -> None:
    programs = r"(pg_dump|psql|createdb|pg_restore|migrate|pm_epoch --rotate)\b"
    plain = re.findall(programs, BACK_UP + RESTORE)
    composed = re.findall(rf"^    docker compose (?:exec|run) .*?{programs}", PAGE, re.MULTILINE)
    assert composed == plain
