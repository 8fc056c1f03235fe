"""The page /mailbox/ of the example site: mail is shown as it is meant, and can do nothing."""

from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.example.site import LIVE_SERVER, Site, free_port

HOSTILE = """<!doctype html><html><head><meta http-equiv="refresh" content="0;url={url}/?refreshed"></head>
<body onload="top.document.title='owned'" style="background:#fff">
<script>top.document.title = "owned"; fetch("{url}/?fetched")</script>
<img src=x onerror="top.document.title='owned'">
<img src="{url}/?tracked"><link rel="stylesheet" href="{url}/?styled"><iframe src="{url}/?framed"></iframe>
<form action="{url}/?posted"><button>Send</button></form>
<a href="javascript:document.title='owned';top.document.title='owned'">Script</a>
<a href="{site}/accounts/login/">A link</a>
</body></html>"""


class Elsewhere(ThreadingHTTPServer):
    """A server that a message would like to be fetched from. ``asked`` holds the paths that arrived there.

    Not what the browser reports: it reports an address that it has looked at, and then refused to ask.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.asked: list[str] = []


class _Answer(BaseHTTPRequestHandler):
    server: Elsewhere

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.send_response(204)
        self.end_headers()

    do_POST = do_GET

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    """The server that must not be asked."""
    with Elsewhere() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def site(new_site: Callable[[], Site]) -> Iterator[Site]:
    """A site of its own, whose mail knows where it is, and has been sent once."""
    site = new_site()
    port = free_port()
    site.variables["SITE_URL"] = f"http://127.0.0.1:{port}"
    site.must_manage("pm_run", "--once")
    with site.served(*LIVE_SERVER, port=port):
        yield site


def open_first(page: Page, site: Site) -> None:
    page.get_by_role("link", name="Mailbox", exact=True).click()
    page.get_by_role("table").get_by_role("link").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Due soon:")


def test_a_reminder_and_the_end_of_reminders(site, sign_in, watched):
    watched.expected = r"404 \(Not Found\)"  # the page behind the link has no icon, and Chromium asks for one
    page = sign_in("ben")
    open_first(page, site)
    title = page.get_by_role("heading", level=1).inner_text().removeprefix("Due soon: ")
    letter = page.frame_locator("iframe")
    expect(letter.get_by_role("heading", name=title)).to_be_visible()
    expect(page.locator("pre")).to_contain_text("Hello Ben Fischer")
    expect(page.get_by_role("row", name="Message-ID")).to_contain_text("@example.com>")
    expect(page.get_by_role("row", name="List-Unsubscribe").get_by_role("link")).to_be_visible()

    with page.expect_popup() as opened:
        letter.get_by_role("link", name="No more reminders").click()
    expect(opened.value.get_by_role("heading", name="No more mail of this kind?")).to_be_visible()
    assert site.browser().ask("/notification-preferences/", user="ben").json["reminders"] is True

    page.get_by_role("button", name="Unsubscribe").click()
    expect(page.get_by_role("heading", name="Done")).to_be_visible()
    assert site.browser().ask("/notification-preferences/", user="ben").json["reminders"] is False


def test_what_comes_by_mail_can_do_nothing(site, elsewhere, sign_in, context: BrowserContext, watched):
    watched.expected = r"Blocked script execution|Content Security Policy|refused|sandbox"
    html = HOSTILE.replace("{url}", elsewhere.url).replace("{site}", site.url)
    (site.folder / "mail" / "99990101T000000-hostile.eml").write_text(
        "From: <script>document.title='owned'</script> <x@example.com>\nTo: ben@example.com\n"
        "Subject: Due soon: <img src=x onerror=\"document.title='owned'\">\n"
        f"Content-Type: text/html; charset=utf-8\n\n{html}"
    )
    page = sign_in("ben")
    open_first(page, site)
    letter = page.frame_locator("iframe")
    expect(letter.get_by_role("button", name="Send")).to_be_visible()
    letter.get_by_role("button", name="Send").click()
    letter.get_by_role("link", name="Script").click()
    with context.expect_page(lambda opened: "login" in opened.url):
        letter.get_by_role("link", name="A link").click()
    assert "owned" not in {each.title() for each in context.pages}
    assert page.url.endswith("-hostile/")
    assert elsewhere.asked == []
    assert watched.provoked


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_it_fits_a_narrow_window(site, chromium, watched, colours, tmp_path):
    context = chromium.new_context(color_scheme=colours, viewport={"width": 320, "height": 720})
    context.on("page", watched.watch)
    page = context.new_page()
    page.goto(f"{site.url}/accounts/login/?next=/mailbox/")
    page.get_by_label("Login").fill("ana")
    page.get_by_label("Password").fill("demo")
    page.get_by_role("main").get_by_role("button", name="Sign in").click()
    for _each in range(2):
        expect(page.get_by_role("table").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 320
        if page.url.endswith("/mailbox/"):
            page.get_by_role("table").get_by_role("link").first.click()
    context.close()
