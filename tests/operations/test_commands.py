"""What the pages for operators say to type is there to be typed."""

import re

import pytest
from django.core.management import get_commands, load_command_class

from tests.example.site import ROOT

PAGES = ("backup", "deployment", "mail", "monitoring", "operations", "scaling", "serving", "upgrades")
TYPED = re.compile(r"manage\.py ([a-z_]+)((?: --?[a-z-]+(?: (?!-)[\w.,]+)?)*)")
NAMED = re.compile(r"`(pm_[a-z]+)((?: --?[a-z-]+(?: (?!-)[\w.]+)?)+)`")


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_is_one(page: str) -> None:
    text = (ROOT / "docs" / f"{page}.md").read_text()
    known = get_commands()
    for name, options in {*TYPED.findall(text), *NAMED.findall(text)}:
        assert name in known, (page, name)
        app = known[name]
        command = app if not isinstance(app, str) else load_command_class(app, name)
        parser = command.create_parser("manage.py", name)
        for option in re.findall(r"(?<= )--?[a-z][a-z-]*", options):
            assert option in parser._option_string_actions, (page, name, option)
