"""Every page of docs/ can be found from its first one, and from the site's navigation."""

import re

from tests.example.site import ROOT

DOCS = ROOT / "docs"
PAGES = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")} - {"README.md"}


def test_the_first_page_leads_to_every_other():
    led_to = set()
    for index in ("README.md", "howto/README.md"):
        folder = (DOCS / index).parent
        for target in re.findall(r"\]\(([^)#\s]+\.md)", (DOCS / index).read_text()):
            path = (folder / target).resolve()
            led_to |= {path.relative_to(DOCS).as_posix()} if path.is_relative_to(DOCS) else set()
    assert led_to - {"README.md"} == PAGES


def test_the_navigation_has_every_page_once():
    """`make docs` asks for that too, but not everybody makes it."""
    navigation = (ROOT / "mkdocs.yml").read_text().split("\nnav:\n")[1]
    named = re.findall(r"([\w/-]+\.md)$", navigation, re.MULTILINE)
    taken_in = {"overview.md", "changelog.md", "contributing.md", "security.md"}
    assert sorted(named) == sorted(PAGES | taken_in | {"README.md"})
