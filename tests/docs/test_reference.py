"""What docs/ says of the code is what the code says: `make reference` writes it, and here is told when it is behind."""

import ast
import re
from importlib import import_module

import pytest
from django.core.management import get_commands

from django_pm.api.urls import urlpatterns
from scripts.reference.names import PUBLIC
from scripts.reference.pages import DOCS, PAGES, written
from tests.example.site import ROOT

PLACES = {page: page.read_text() for page in PAGES}


@pytest.mark.filterwarnings("ignore:Overriding setting DATABASES")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_committed_page_is_what_the_code_says(page):
    assert PLACES[page] == written(page), "If the change of the code is meant: make reference"


def test_every_part_has_a_page_that_is_known():
    marked = {path for path in DOCS.rglob("*.md") if "<!-- from the code:" in path.read_text()}
    assert marked == set(PAGES)


def test_every_path_is_there():
    served = {"/" + re.sub(r"<[^>]+>", "<id>", str(each.pattern)) for each in urlpatterns} - {"/docs/<id>"}
    page = (DOCS / "reference" / "endpoints.md").read_text()
    told = {re.sub(r"<[^>]+>|{[^}]+}", "<id>", path) for path in re.findall(r"`(/[^`]+/)`", page)}
    assert told - served == {"/ws/notifications/"}
    assert served - told == set()


def test_every_command_is_there():
    told = re.findall(r"^### (pm_\w+)$", (DOCS / "reference" / "commands.md").read_text(), re.MULTILINE)
    assert told == sorted(name for name, app in get_commands().items() if app == "django_pm")


def test_every_command_is_named_where_a_site_is_run():
    operating = "".join((DOCS / name).read_text() for name in ("operations.md", "mail.md", "backup.md", "scaling.md"))
    names = {path.stem for path in (ROOT / "src/django_pm/management/commands").glob("pm_*.py")}
    assert {name for name in names if name not in operating} == set()


def test_every_name_can_be_imported_from_where_the_page_says():
    """The page is read from the source, but a host imports."""
    for module, names in PUBLIC.items():
        room = import_module(module)
        for name in names:
            owner, _dot, member = name.rpartition(".")
            assert hasattr(getattr(room, owner) if owner else room, member), f"{module}.{name}"


def test_what_the_pages_import_is_public():
    """A sample that needs more than the reference promises would break with some upgrade."""
    for page in [ROOT / "README.md", *DOCS.rglob("*.md")]:
        for sample in re.findall(r"^```python\n(.+?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
            for node in ast.walk(ast.parse(sample)):
                module = (node.module or "") if isinstance(node, ast.ImportFrom) else ""
                if module.startswith("django_pm") and not module.startswith("django_pm.client"):
                    names = {each.name for each in node.names}
                    public = {*PUBLIC.get(module, ()), *(room.removeprefix(f"{module}.") for room in PUBLIC)}
                    assert names - public == set(), f"{page.name}: {module}"
