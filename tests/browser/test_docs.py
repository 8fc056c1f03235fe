"""The JavaScript in docs/realtime.md works as it stands, on the live example site."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.example.site import ROOT

PAGE = (ROOT / "docs" / "realtime.md").read_text()

# A second of pause, and the sockets at hand, to cut them.
LOOK = """
  window.sockets = [];
  Math.random = () => 0.1;
  window.WebSocket = class extends WebSocket {
    constructor(url) { super(url); sockets.push(this); }
  };
"""


def sample(language: str) -> str:
    (block,) = re.findall(rf"^```{language}\n(.+?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return str(block)


@pytest.fixture
def context(chromium: Browser, watched) -> Iterator[BrowserContext]:
    """The samples are put into a page of the site as scripts of its own, which its policy would not let run."""
    context = chromium.new_context(bypass_csp=True)
    context.on("page", watched.watch)
    yield context
    context.close()


class Console:
    """What the page says."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.lines: list[list[Any]] = []
        page.on("console", lambda message: self.lines.append([each.json_value() for each in message.args]))

    def wait(self, count: int) -> list[list[Any]]:
        for _ in range(400):
            if len(self.lines) >= count:
                return self.lines
            self.page.wait_for_timeout(50)
        raise AssertionError(f"The page said no more than {self.lines}")


def run(page: Page, script: str) -> None:
    page.evaluate(
        "(text) => { document.head.append(Object.assign(document.createElement('script'), { text })); }", script
    )


def test_the_bare_protocol(sign_in, project, add_task, ask):
    page = sign_in("ben")
    page.evaluate(f"() => {{ {LOOK} }}")
    console = Console(page)
    run(page, sample("js") + "window.places = places;")
    page.wait_for_function(f"places.has('{project['id']}')")
    add_task("first")
    console.wait(1)
    page.evaluate("sockets[0].close()")
    add_task("missed")
    page.wait_for_function("sockets.length === 2")
    console.wait(2)
    add_task("after")
    other = ask("POST", "/projects/", {"name": "Shed"}, user="ben")
    console.wait(4)
    ask("DELETE", f"/projects/{other['id']}/", user="ben")
    happened = [[*line[:-1], line[-1]["title"][1]] for line in console.wait(5) if line[0] == "happened"]
    assert happened == [["happened", "task.created", title] for title in ("first", "missed", "after")]
    assert [line for line in console.lines if line[0] != "happened"] == [
        ["fetch afresh", other["id"]],
        ["forget", other["id"]],
    ]


def test_the_client_as_the_page_includes_it(sign_in, project, add_task, site):
    assert re.findall(r"'(django_pm/[^']+)'", sample("html")) == ["django_pm/pm-client.js"]
    page = sign_in("ben")
    page.add_script_tag(url=f"{site.url}/static/django_pm/pm-client.js")
    console = Console(page)
    run(page, sample("javascript"))
    page.wait_for_function("document.title === 'live'")
    task = add_task("tent")
    ((seq, kind, changes),) = console.wait(1)
    assert (kind, changes["title"][1]) == ("task.created", task["title"])
    assert seq > 0


def test_what_the_page_tells_of_the_client_is_what_there_is():
    source = (ROOT / "src" / "django_pm" / "static" / "django_pm" / "pm-client.js").read_text()
    section = PAGE.split("## In the browser")[1].split("\n## ")[0]
    defaults = source.split("const DEFAULTS = {")[1].split("};")[0]
    options = section.split("| option |")[1].split("\n\n")[0]
    told = {
        name for cell in re.findall(r"^\| (`.+?) \|", options, re.MULTILINE) for name in re.findall(r"`(\w+)`", cell)
    }
    assert told == set(re.findall(r"^ +(\w+):", defaults, re.MULTILINE))
    states = section.split("| state |")[1].split("\n\n")[0]
    known = set(re.findall(r"""(?:become|stop)\("([\w-]+)"\)|"(reconnecting)" :""", source))
    assert set(re.findall(r"^\| `([\w-]+)` ", states, re.MULTILINE)) == {a or b for a, b in known}
