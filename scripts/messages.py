"""Brings the catalogues of translations up to date with the code. `make messages` calls it.

    python scripts/messages.py

It reads what is to be translated out of the code, and writes it into each `locale/<language>/LC_MESSAGES/*.po`: what is
new comes without a translation, what is gone goes. Then it compiles each into the `.mo` that Django reads, and says how
much is left to translate. It needs Babel (dependency group `tools`), and none of the programs of GNU gettext.
tests/i18n/test_catalogues.py fails while a catalogue differs from the code.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parent.parent

KEYWORDS = {
    "_": None,
    "_lazy": None,
    "gettext": None,
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext": (1, 2),
    "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2),
    "pgettext_lazy": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
}
"""What the code calls the functions of `django.utils.translation`, and which of their arguments are messages."""


@dataclass(frozen=True)
class Domain:
    """The messages of one place in one kind of file, which have a catalogue for each language."""

    folder: Path
    """What is searched."""
    app: str
    """Where below it the catalogues are."""
    name: str
    """`django` for Python and templates, `djangojs` for JavaScript: the names that Django looks for."""
    suffixes: tuple[str, ...]

    @property
    def files(self) -> list[Path]:
        """Those that may say something, in the same order everywhere."""
        return sorted(path for path in self.folder.rglob("*") if path.suffix in self.suffixes)

    @property
    def catalogues(self) -> list[Path]:
        """Its `.po` files, one for each language."""
        return sorted(self.folder.joinpath(self.app).glob(f"locale/*/LC_MESSAGES/{self.name}.po"))


EXAMPLE = ROOT / "example_project"
DOMAINS = (
    Domain(ROOT / "src", "django_pm", "django", (".py", ".html", ".txt", ".svg")),
    Domain(EXAMPLE, "demo", "django", (".py", ".html")),
    Domain(EXAMPLE, "demo", "djangojs", (".js",)),
)


def template(domain: Domain) -> Catalog:
    """What the code of `domain` has to say, untranslated."""
    found = Catalog()
    for path in domain.files:
        for message, context in messages_of(path):
            found.add(message, locations=[(path.relative_to(domain.folder).as_posix(), 1)], context=context)
    return found


def messages_of(path: Path) -> Iterator[tuple[str | tuple[str, ...], str | None]]:
    """The messages of one file, singular and plural as a pair, each with its context."""
    text, method = path.read_text(encoding="utf-8"), "python"
    if path.suffix == ".js":
        method = "javascript"
    elif path.suffix != ".py":
        text = as_calls(text)
    for _line, message, _comments, context in extract(method, io.BytesIO(text.encode()), KEYWORDS):
        yield message, context


def as_calls(text: str) -> str:
    """A template as what its tags call, for which Django has a function, with all else crossed out."""
    from django.utils.translation.template import templatize

    return "\n".join(line.lstrip() for line in templatize(text).splitlines())  # an indent would be one of Python's


def read(path: Path) -> Catalog:
    """A catalogue as it stands; its folder says which language it is for."""
    with path.open("rb") as file:
        return read_po(file, locale=path.parts[-3], abort_invalid=True)


def compiled(catalogue: Catalog) -> bytes:
    """What Django reads of it."""
    into = io.BytesIO()
    write_mo(into, catalogue)
    return into.getvalue()


def update(path: Path, current: Catalog) -> int:
    """Write one catalogue and its compiled form; how many of its messages have no translation."""
    catalogue = read(path)
    catalogue.update(current, no_fuzzy_matching=True, update_creation_date=False)
    with path.open("wb") as file:
        write_po(file, catalogue, width=100, include_lineno=False, ignore_obsolete=True, sort_by_file=True)
    path.with_suffix(".mo").write_bytes(compiled(catalogue))
    return sum(1 for message in catalogue if message.id and not is_translated(message.string))


def is_translated(string: str | tuple[str, ...]) -> bool:
    """Whether there is one; of plurals, whether each form has one."""
    return all(string) if isinstance(string, tuple) else bool(string)


def main() -> int:
    for domain in DOMAINS:
        current = template(domain)
        for path in domain.catalogues:
            missing = update(path, current)
            print(f"{path.relative_to(ROOT)}: {len(current)} messages, {missing} without a translation")
    return 0


if __name__ == "__main__":
    sys.exit(main())
