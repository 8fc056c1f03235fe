"""No page breaks the policy that it is sent with (`watched` fails if it does), and the policy holds."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.example.site import LIVE_SERVER, Site

INLINE = """
  () => { document.head.append(Object.assign(document.createElement("script"), { text: "window.owned = true" })); }
"""
ADMIN = ["/", "/django_pm/task/", "/django_pm/task/add/", "/django_pm/project/1/change/", "/django_pm/mail/"]


@pytest.fixture(scope="module")
def site(new_site: Callable[[], Site]) -> Iterator[Site]:
    """With mail, and served."""
    site = new_site()
    site.must_manage("pm_run", "--once")
    with site.served(*LIVE_SERVER):
        yield site


def test_the_page_of_the_api_works(site: Site, sign_in) -> None:
    page = sign_in("ana")
    page.goto(f"{site.url}/docs/")
    page.get_by_text("/projects/", exact=True).first.click()
    operation = page.locator(".opblock.is-open").first
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    expect(operation.locator(".live-responses-table")).to_contain_text("results")
    page.get_by_role("button", name="Authorize").first.click()
    expect(page.locator(".dialog-ux")).to_be_visible()


def test_a_write_from_there_shows_the_token_that_it_needs(site: Site, sign_in) -> None:
    page = sign_in("ana")
    page.goto(f"{site.url}/docs/")
    operation = page.locator("#operations-projects-projects_create")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.locator("textarea").fill('{"name": "Made at /docs/"}')
    operation.get_by_role("button", name="Execute").click()
    expect(operation.locator(".live-responses-table .response-col_status").last).to_contain_text("201")


def test_the_pages_of_the_example_site(site: Site, sign_in, page: Page) -> None:
    page.goto(f"{site.url}/accounts/login/")
    page = sign_in("ana")
    for path in ("/", "/live/", "/mailbox/"):
        assert page.goto(f"{site.url}{path}", wait_until="networkidle")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert page.evaluate("getComputedStyle(document.body).marginTop") == "0px", "the style has come"
    page.get_by_role("table").get_by_role("link").first.click()
    expect(page.frame_locator("iframe").get_by_role("heading").first).to_be_visible()


def test_the_admin_does_with_it(site: Site, sign_in, watched) -> None:
    watched.expected = r"404 \(Not Found\)"  # these pages name no icon, and Chromium asks for one
    page = sign_in("ana")
    for path in ADMIN:
        assert page.goto(f"{site.url}/admin{path}", wait_until="networkidle")
        expect(page.locator("#header")).to_be_visible()


def test_the_end_of_mail(site: Site, sign_in) -> None:
    page = sign_in("ana")
    page.goto(f"{site.url}/mailbox/")
    page.get_by_role("table").get_by_role("link").first.click()
    address = re.search(r"/notifications/unsubscribe/[^\s<>]+", page.locator("pre").inner_text())
    assert address
    page.goto(site.url + address[0])
    page.get_by_role("button", name="No more of it").click()
    expect(page.get_by_role("heading", name="Done")).to_be_visible()


@pytest.mark.parametrize("path", ["/", "/docs/", "/accounts/login/", "/admin/login/", "/notifications/unsubscribe/x/"])
def test_what_got_into_a_page_is_not_run(site: Site, page: Page, watched, path: str) -> None:
    watched.expected = r"Content Security Policy|404 \(Not Found\)"
    page.goto(f"{site.url}{path}")
    page.evaluate(INLINE)
    assert page.evaluate("window.owned") is None
    assert [text for text in watched.provoked if "script-src" in text]
