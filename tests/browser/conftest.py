"""One browser and one live example site for all tests; each test has pages of its own."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.example.site import LIVE_SERVER, Site

CHROMIUM = os.environ.get("PM_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
PATIENCE = 20_000  # ms

expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A browser process without a window."""
    if not CHROMIUM:
        pytest.fail("No Chromium here. On Debian: apt-get install chromium; elsewhere say where by PM_CHROMIUM.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            chromium_sandbox=os.geteuid() != 0,  # it refuses to run for root, which CI is
            # A page that a test makes up comes from no address, and may then not ask 127.0.0.1 for anything.
            args=["--disable-features=LocalNetworkAccessChecks"],
        )
        yield browser
        browser.close()


@dataclass
class Watched:
    """Collects what pages complain about. A test names what it provokes itself in `expected`."""

    complaints: list[str] = field(default_factory=list)
    expected: str = r"(?!)"
    provoked: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        (self.provoked if re.search(self.expected, text) else self.complaints).append(text)

    def watch(self, page: Page) -> None:
        page.on("console", lambda message: message.type in ("error", "warning") and self.add(message.text))
        page.on("pageerror", lambda error: self.add(str(error)))


@pytest.fixture
def watched() -> Iterator[Watched]:
    """Fails the test if a page has complained."""
    watched = Watched()
    yield watched
    assert watched.complaints == []


@pytest.fixture
def context(chromium: Browser, watched: Watched) -> Iterator[BrowserContext]:
    """A browser that nobody has signed in with."""
    context = chromium.new_context()
    context.set_default_timeout(PATIENCE)
    context.on("page", watched.watch)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """An empty page."""
    return context.new_page()


@pytest.fixture(scope="session")
def new_site(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Site]:
    """`new_site()`: an example site with the sample data, its database a SQLite file of its own; nobody serves it."""
    first = Site(tmp_path_factory.mktemp("demo"))
    first.must_manage("migrate", "--verbosity", "0")
    first.must_manage("demo_seed")
    return lambda: Site(shutil.copytree(first.folder, tmp_path_factory.mktemp("copy"), dirs_exist_ok=True))


@pytest.fixture(scope="session")
def site(new_site: Callable[[], Site]) -> Iterator[Site]:
    """One for all tests, served as `make demo` serves it."""
    site = new_site()
    with site.served(*LIVE_SERVER):
        yield site


Ask = Callable[..., Any]


@pytest.fixture
def ask(site: Site) -> Ask:
    """`ask("POST", "/tasks/", {…}, user="ana")`: what the API answers; it must not refuse."""
    browser = site.browser()

    def ask(method: str, path: str, body: Any = None, user: str = "ana") -> Any:
        answer = browser.ask(path, user=user, method=method, json_body=body)
        assert answer.status < 300, answer.text
        return answer.json if answer.text else None

    return ask


@pytest.fixture
def project(ask: Ask) -> dict[str, Any]:
    """A project of ana, with ben as a member."""
    project: dict[str, Any] = ask("POST", "/projects/", {"name": "Orchard"})
    ask("POST", f"/projects/{project['id']}/members/", {"user": "ben", "role": "member"})
    return project


@pytest.fixture
def add_task(ask: Ask, project: dict[str, Any]) -> Callable[[str], Any]:
    """`add_task(title)`: ana adds it to the project."""

    def add(title: str) -> Any:
        body = {"project": project["id"], "title": title, "due_date": "2031-01-01T00:00:00Z"}
        return ask("POST", "/tasks/", body)

    return add


@pytest.fixture
def sign_in(site: Site, context: BrowserContext) -> Callable[[str], Page]:
    """`sign_in(user)`: a page of this browser, with a session of that user."""

    def sign_in(user: str) -> Page:
        page = context.new_page()
        page.goto(f"{site.url}/accounts/login/")
        page.get_by_label("Login").fill(user)
        page.get_by_label("Password").fill("demo")
        page.get_by_role("main").get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("button", name="Sign out")).to_be_visible()
        return page

    return sign_in
