"""The management commands and their options, as they tell of themselves with `--help`."""

import argparse

from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand

from scripts.reference import markdown


def sections() -> str:
    """A section for each command."""
    names = sorted(name for name, app in get_commands().items() if app == "django_pm")
    return "\n\n".join(section(name, load_command_class("django_pm", name)) for name in names)


def section(name: str, command: BaseCommand) -> str:
    """What one command does, and its options beside those that every command has."""
    lines = [f"### {name}", "", command.help]
    options = own_options(command)
    if options:
        rows = [[f"`{spelt(option)}`", markdown.cell((option.help or "") % vars(option))] for option in options]
        lines += ["", markdown.table(["option", "what it does"], rows)]
    return "\n".join(lines)


def own_options(command: BaseCommand) -> list[argparse.Action]:
    """The options that Django does not give to every command."""
    common = {option.dest for option in BaseCommand().create_parser("manage.py", "")._actions}
    return [option for option in command.create_parser("manage.py", "")._actions if option.dest not in common]


def spelt(option: argparse.Action) -> str:
    """An option as one types it, with a word for its value."""
    name = option.option_strings[-1] if option.option_strings else ""
    if option.nargs == 0:
        return name
    return f"{name} {option.metavar or option.dest.upper()}".strip()
