"""The catalogues of translations hold what the code says, all of it and nothing else, and are compiled."""

from __future__ import annotations

import ast
import functools
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import read_mo

from scripts import messages

CATALOGUES = [
    pytest.param(domain, path, id=path.relative_to(messages.ROOT).as_posix())
    for domain in messages.DOMAINS
    for path in domain.catalogues
]
LANGUAGES = {"ar": 6, "de": 2}
"""What is shipped, and how many forms of a plural each has."""

UPDATE = "Run `make messages`, and translate what is new."
PLACEHOLDER = re.compile(r"%%|%\(\w+\)[sd]|%[sd]|\{\w*\}")
TAG = re.compile(r"<[^>]+>")
ARABIC = re.compile(r"[\u0600-\u06ff]")


@functools.cache
def said_by(domain: messages.Domain) -> Catalog:
    """What the code says; read once."""
    return messages.template(domain)


def keys(catalogue: Catalog) -> set[Any]:
    return set(strings(catalogue))


def strings(catalogue: Catalog) -> dict[Any, tuple[str, ...]]:
    """The translations, by context and message."""
    return {(message.context, forms(message.id)): forms(message.string) for message in translated(catalogue)}


def translated(catalogue: Catalog) -> list[Message]:
    return [message for message in catalogue if message.id]


def forms(text: Any) -> tuple[str, ...]:
    return tuple(text) if isinstance(text, (tuple, list)) else (text,)


def test_each_language_has_each_catalogue() -> None:
    for domain in messages.DOMAINS:
        assert [path.parts[-3] for path in domain.catalogues] == sorted(LANGUAGES)


@pytest.mark.parametrize("domain", messages.DOMAINS, ids=str)
def test_the_code_says_something(domain: messages.Domain) -> None:
    """Were nothing found, nothing would be missing."""
    assert len(said_by(domain)) > 20


@pytest.mark.parametrize(("domain", "path"), CATALOGUES)
def test_nothing_is_missing_and_nothing_obsolete(domain: messages.Domain, path: Path) -> None:
    catalogue, current = messages.read(path), said_by(domain)
    assert keys(current) - keys(catalogue) == set(), UPDATE
    assert keys(catalogue) - keys(current) == set(), UPDATE
    assert not catalogue.obsolete, UPDATE
    for message in translated(catalogue):
        assert not message.fuzzy, message.id
        assert messages.is_translated(message.string), f"{message.id!r} has no translation."


@pytest.mark.parametrize(("domain", "path"), CATALOGUES)
def test_each_plural_has_all_its_forms(domain: messages.Domain, path: Path) -> None:
    catalogue = messages.read(path)
    assert catalogue.num_plurals == LANGUAGES[path.parts[-3]]
    for message in translated(catalogue):
        if message.pluralizable:
            assert len(message.string) == catalogue.num_plurals, message.id


@pytest.mark.parametrize(("domain", "path"), CATALOGUES)
def test_placeholders_and_tags_are_those_of_the_original(domain: messages.Domain, path: Path) -> None:
    for message in translated(messages.read(path)):
        original = forms(message.id)[-1]
        for form in forms(message.string):
            for pattern in (PLACEHOLDER, TAG):
                assert Counter(pattern.findall(form)) == Counter(pattern.findall(original)), (original, form)
            # A percent sign that begins no placeholder would make an error of the sentence.
            if "%(" in original:
                assert "%" not in PLACEHOLDER.sub("", form), form
            assert form.strip() == form or original.strip() != original, "blanks at an end are easily lost"


@pytest.mark.parametrize(("domain", "path"), CATALOGUES)
def test_arabic_is_arabic(domain: messages.Domain, path: Path) -> None:
    if path.parts[-3] == "ar":
        for message in translated(messages.read(path)):
            for form in forms(message.string):
                assert ARABIC.search(form), form


@pytest.mark.parametrize(("domain", "path"), CATALOGUES)
def test_it_is_compiled(domain: messages.Domain, path: Path) -> None:
    catalogue = messages.read(path)
    with path.with_suffix(".mo").open("rb") as file:
        known = read_mo(file)
    assert strings(known) == strings(catalogue), UPDATE
    assert known.plural_expr == catalogue.plural_expr


def calls(node: ast.AST, in_f_string: bool = False) -> Iterator[tuple[ast.Call, bool]]:
    """The calls of Django's functions below `node`, and whether each stands in an f-string."""
    in_f_string = in_f_string or isinstance(node, ast.JoinedStr)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in messages.KEYWORDS:
        yield node, in_f_string
    for child in ast.iter_child_nodes(node):
        yield from calls(child, in_f_string)


def test_every_message_stands_in_the_code_as_it_is() -> None:
    """What is put together while the program runs, or stands in an f-string, cannot be found to be translated."""
    number = 0
    for domain in messages.DOMAINS:
        for path in domain.files:
            if path.suffix != ".py":
                continue
            for call, in_f_string in calls(ast.parse(path.read_text(encoding="utf-8"))):
                where = f"{path}:{call.lineno}"
                assert not in_f_string, where
                assert isinstance(call.args[0], ast.Constant), where
                number += 1
    assert number > 200


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("a.py", '_("One")\ngettext_lazy("Two")', [("One", None), ("Two", None)]),
        ("a.py", 'pgettext("priority", "None")', [("None", "priority")]),
        ("a.py", 'ngettext("%(n)s day", "%(n)s days", n)', [(("%(n)s day", "%(n)s days"), None)]),
        (
            "a.html",
            '<p>{% translate "One" %}</p>\n  {% translate "Two" context "few" %}',
            [("One", None), ("Two", "few")],
        ),
        ("a.txt", "{% blocktranslate with n=a.b %}Of {{ n }}{% endblocktranslate %}", [("Of %(n)s", None)]),
        (
            "a.svg",
            "{% blocktranslate count n=a %}{{ n }} day{% plural %}{{ n }} days{% endblocktranslate %}",
            [(("%(n)s day", "%(n)s days"), None)],
        ),
    ],
)
def test_what_is_found(tmp_path: Path, name: str, text: str, found: list[Any]) -> None:
    path = tmp_path / name
    path.write_text(text)
    assert list(messages.messages_of(path)) == found
