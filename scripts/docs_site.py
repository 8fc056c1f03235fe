"""What makes one site of docs/ and the pages at the root of the repository. mkdocs calls it; see mkdocs.yml.

The links in the pages are those of the repository, so that they work where the files are read as they are. Here they
are turned into links of the site. What a link leads to that is no page (a test, the example project) is not part of the
site: its name stays, without a link.
"""

import posixpath
import re
from html.parser import HTMLParser
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent

TAKEN_IN = {
    "README.md": "overview.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
"""By path in the repository, the names in the site of the pages from outside of docs/."""

IN_REPOSITORY = {name: path for path, name in TAKEN_IN.items()}

# Fenced code is matched first, and left as it is.
LINK = re.compile(
    r"^ *```.*?^ *```$|(?P<text>!?\[(?:[^\[\]]|\[[^\]]*\])*\])\((?P<target>[^)\s]+)\)", re.MULTILINE | re.DOTALL
)

FETCHING = {"link": "href", **dict.fromkeys(("audio", "iframe", "img", "script", "source", "video"), "src")}
"""By element, what names what a browser fetches to show a page."""

ELSEWHERE = re.compile(r"(?:https?:)?//")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Take in the pages at the root of the repository."""
    for path, name in TAKEN_IN.items():
        files.append(File.generated(config, name, content=(ROOT / path).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn the links of the repository into those of the site."""
    return translated(markdown, page.file.src_uri, {file.src_uri for file in files})


def translated(markdown: str, name: str, names: set[str]) -> str:
    """``markdown``, the page ``name`` of a site of these ``names``, with links of the site."""
    here = IN_REPOSITORY.get(name, f"docs/{name}")

    def link(match: re.Match[str]) -> str:
        text, target = match["text"], match["target"]
        path, hash_, anchor = (target or "").partition("#")
        if not path or ":" in path:  # code; an anchor of this page; another site
            return match[0]
        meant = posixpath.normpath(posixpath.join(posixpath.dirname(here), path))
        there = TAKEN_IN.get(meant, meant.removeprefix("docs/") if meant.startswith("docs/") else "")
        if there in names:
            return f"{text}({posixpath.relpath(there, posixpath.dirname(name) or '.')}{hash_}{anchor})"
        if (ROOT / meant).exists() and not meant.startswith("docs/"):
            return text[1:-1]
        return match[0]  # nowhere: mkdocs says so

    return LINK.sub(link, markdown)


def on_post_build(config: MkDocsConfig) -> None:
    """Refuse a site that would have browsers fetch something from another host."""
    pages = sorted(Path(config.site_dir).rglob("*"))
    found = {url: page for page in pages for url in fetched_from_elsewhere(page)}
    if found:
        raise PluginError("".join(f"{url} would be fetched for {page}\n" for url, page in found.items()))


def fetched_from_elsewhere(path: Path) -> list[str]:
    """The addresses on other hosts that a browser would fetch to show this file."""
    if path.suffix == ".html":
        reader = Fetched()
        reader.feed(path.read_text(encoding="utf-8"))
        return reader.elsewhere
    if path.suffix == ".css":
        urls = re.findall(r"""(?:url\(|@import )["']?([^"')\s;]+)""", path.read_text(encoding="utf-8"))
        return [url for url in urls if ELSEWHERE.match(url)]
    return []


class Fetched(HTMLParser):
    """Collects what a page fetches from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.elsewhere: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        address = dict(attrs).get(FETCHING.get(tag, "")) or ""
        if ELSEWHERE.match(address):
            self.elsewhere.append(address)
