"""What the parts are put together with."""

import re
from collections.abc import Iterable

PAGE = re.compile(r"docs/([\w/-]+\.md(?:#[\w-]+)?)")


def cell(text: str) -> str:
    """``text`` as a cell of a table; a page that it names, as docs/mail.md, becomes a link for a page beside it."""
    line = " ".join(text.split()).replace("|", r"\|")
    return PAGE.sub(lambda match: f"[{match[1].partition('#')[0]}]({match[1]})", line)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table; the cells have been made ready."""
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("|" + "".join(f" {each} |" if each else " |" for each in line) for line in lines)


def plain(docstring: str) -> str:
    """A docstring in Markdown: paragraphs of one line each, with single backticks."""
    paragraphs = docstring.strip().removesuffix(":").removesuffix(":").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()).replace("``", "`") for paragraph in paragraphs)


def beginning(docstring: str) -> str:
    """Its first paragraph."""
    return plain(docstring.strip().split("\n\n")[0])
