"""docs/scaling.md: the event table in parts, made by the statements of the page, and used by the code as it is."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.example.site import ROOT, Site, own_database

pytestmark = pytest.mark.postgres

PAGE = (ROOT / "docs" / "scaling.md").read_text()
SPLIT, DROP = re.findall(r"^```sql\n(.+?)^```$", PAGE, re.MULTILINE | re.DOTALL)
FIRST, NEXT = 80, 160
"""What the page has as 200000000 and 300000000."""

WRITE = """
from django_pm.models import Project, Task
project = Project.objects.first() or Project.objects.create(name="Moon base")
for number in range(30):
    Task.objects.create(project=project, title=f"Dig {number}")
Task.objects.update(title="Fill")
"""
READ = """
from django_pm.events import read
from django_pm.events.feed import StreamReset
from django_pm.models import Event, Project, ProjectStream
project = Project.objects.get()
try:
    page = read(project.pk, since=0)
except StreamReset as reset:
    print("reset", reset.reason)
stream = ProjectStream.objects.get()
page = read(project.pk, since=stream.floor - 1)
print("floor", stream.floor, "head", page.head)
seqs, since = [], stream.floor - 1
while events := read(project.pk, since=since).events:
    seqs += [event.seq for event in events]
    since = seqs[-1]
assert seqs == list(range(stream.floor, page.head + 1)), seqs
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with own_database() as variables:
        site = Site(tmp_path, **variables)
        site.must_manage("migrate", "--verbosity", "0")
        yield site


def test_the_log_goes_on_in_parts(site: Site) -> None:
    def shell(program: str) -> str:
        return site.must_manage("shell", "--verbosity", "0", "-c", program)

    def asked(statement: str) -> int:
        found = connection.execute(statement).fetchone()
        assert found
        return int(found[0])

    def type_in(text: str) -> str:
        """In `psql`; what it complains of."""
        text = text.replace("200000000", str(FIRST)).replace("300000000", str(NEXT))
        command = ["psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", site.variables["DATABASE_URL"]]
        return subprocess.run(command, input=text, capture_output=True, text=True, check=False).stderr

    with psycopg.connect(site.variables["DATABASE_URL"], autocommit=True) as connection:
        shell(WRITE)
        assert type_in(SPLIT) == ""
        shell(WRITE)
        assert "not all are numbered" in type_in(DROP)
        connection.execute("DROP TABLE pm_gone")
        first, second = (
            asked("SELECT count(*) FROM django_pm_event_p0"),
            asked("SELECT count(*) FROM django_pm_event_p1"),
        )
        assert first == FIRST - 1
        assert second > 0
        assert shell(READ).split() == ["floor", "1", "head", str(first + second)]
        assert type_in(DROP) == ""
        assert shell(READ).split() == ["reset", "trimmed", "floor", str(FIRST), "head", str(first + second)]
        site.must_manage("pm_relay_events")  # pruned is what the site's subscriber has had
        site.must_manage("pm_prune", "--keep", "10")
        assert asked("SELECT count(*) FROM django_pm_event") == 10
