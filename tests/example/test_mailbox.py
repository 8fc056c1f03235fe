"""The demo's mail: kept in a folder, shown to those whom it is for, whatever the files in it are like."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.example.site import MANAGE, Browser, Site, free_port

LETTER = """From: Northwind <projects@example.com>
To: {to}
Subject: {subject}
Date: Sat, 21 Nov 2026 06:05:41 +0000

Hello.
"""

# What may lie in a folder beside whole messages. None of it may take a page down.
BROKEN = {
    "empty": b"",
    "noise": bytes(range(256)) * 20,
    "cut-off": b"From: a@x.org\r\nSubject: =?utf-8?q?cut=\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x",
    "headers": b'From: <<<@@;:,\r\nTo: =?x?y?z?=, "\r\nSubject: \xff\xfe\r\nDate: 99 Foo 9\r\nMessage-ID: <[\r\n\r\nx',
    "no-charset": b'To: x\r\nSubject: x\r\nContent-Type: text/plain; charset="klingon"\r\n\r\nnuqneH',
    "no-text-codec": b"Subject: x\r\nContent-Type: text/html; charset=hex\r\n\r\nzz",
    "first-year": b"Subject: x\r\nDate: Mon, 1 Jan 0001 00:00:00 +1400\r\n\r\nx",
    "encoding": b"Subject: x\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!!=",
    "nested": b"Subject: x\r\nContent-Type: message/rfc822\r\n\r\nContent-Type: multipart/mixed\r\n\r\n",
    "half-a-character": b"Subject: =?utf-8?b?7aCA?=\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\xed\xa0\x80",
    "utf-7": b"Subject: =?utf-7?q?+2AA-?=\r\nContent-Type: text/plain; charset=utf-7\r\n\r\n+2AA-",
    "nul": b"Subject: a\x00b\r\nContent-Type: text/html\r\n\r\n<p>\x00</p>",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running demo that knows where it is, and has sent its mail once."""
    port = free_port()
    site = Site(tmp_path_factory.mktemp("demo"), SITE_URL=f"http://127.0.0.1:{port}")
    site.must_manage("migrate", "--verbosity", "0")
    site.must_manage("demo_seed")
    site.must_manage("pm_run", "--once")
    with site.served(port=port):
        yield site


@pytest.fixture
def folder(site: Site) -> Iterator[Path]:
    """Where the mail is. What a test adds is gone after it."""
    folder = site.folder / "mail"
    before = set(folder.iterdir())
    yield folder
    for path in set(folder.iterdir()) - before:
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def signed_in(site: Site, user: str) -> Browser:
    browser = site.browser()
    browser.ask("/accounts/login/")
    assert browser.ask("/accounts/login/", form={"username": user, "password": "demo"}).status == 200
    return browser


def listed(browser: Browser) -> list[str]:
    """The addresses of the messages in the list, in its order."""
    page = browser.ask("/mailbox/")
    assert page.status == 200
    return re.findall(r'href="(/mailbox/[^"]+/)"', page.text)


def recipients(browser: Browser) -> set[str]:
    return set(re.findall(r'data-label="To"><bdi>([^<]+)<', browser.ask("/mailbox/").text))


def test_it_is_for_those_who_signed_in(site):
    letter = listed(signed_in(site, "ana"))[0]
    for path in ("/mailbox/", letter):
        answer = site.browser().ask(path)
        assert "<h1>Sign in</h1>" in answer.text
        assert "Due soon" not in answer.text


def test_everybody_sees_their_own_and_superusers_all(site):
    assert recipients(signed_in(site, "ben")) == {"ben@example.com"}
    ana = signed_in(site, "ana")
    assert {"ben@example.com", "mo@example.com"} <= recipients(ana)
    not_bens = next(path for path in listed(ana) if "mo@example.com" in ana.ask(path).text)
    assert signed_in(site, "ben").ask(not_bens).status == 404


def test_the_newest_is_first(site, folder):
    (folder / "20010101T000000000000-old.eml").write_text(LETTER.format(to="vera@example.com", subject="Old"))
    (folder / "20990101T000000000000-new.eml").write_text(LETTER.format(to="vera@example.com", subject="New"))
    paths = listed(signed_in(site, "vera"))
    assert [paths[0], paths[-1]] == [
        f"/mailbox/{stem}/" for stem in ("20990101T000000000000-new", "20010101T000000000000-old")
    ]


def test_a_reminder_is_shown_whole(site):
    ben = signed_in(site, "ben")
    page = ben.ask(listed(ben)[0])
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "Hello Ben Fischer," in page.text
    assert re.search(r'<th scope="row">Message-ID</th><td dir="auto">&lt;[0-9a-f-]{36}@example.com&gt;', page.text)
    assert '<iframe title="The message as HTML" sandbox="allow-popups allow-popups-to-escape-sandbox"' in page.text
    assert page.text.count(f'href="{site.url}/notifications/unsubscribe/') == 2  # in the text, and in a header


def test_one_click_ends_reminders(site):
    mo = signed_in(site, "mo")
    (address,) = re.findall(r'<form method="post" action="([^"]+/unsubscribe/[^"]+)"', mo.ask(listed(mo)[0]).text)
    assert mo.ask("/notification-preferences/").json["reminders"] is True
    done = site.browser().ask(address.removeprefix(site.url), form={"List-Unsubscribe": "One-Click"})
    assert (done.status, "<h1>Done</h1>" in done.text) == (200, True)
    assert mo.ask("/notification-preferences/").json["reminders"] is False


def test_one_click_is_offered_to_this_site_alone(site, folder):
    letter = LETTER.format(to="vera@example.com", subject="Elsewhere")
    headers = "List-Unsubscribe: <https://elsewhere.example/>\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\n"
    (folder / "elsewhere.eml").write_text(headers + letter)
    assert "One-Click&" not in signed_in(site, "vera").ask("/mailbox/elsewhere/").text
    assert (
        '<form method="post" action="https://elsewhere' not in signed_in(site, "vera").ask("/mailbox/elsewhere/").text
    )


def test_what_is_no_message_takes_no_page_down(site, folder):
    for name, content in BROKEN.items():
        (folder / f"{name}.eml").write_bytes(content)
    (folder / "folder.eml").mkdir()
    (folder / "draft-half").write_text("From: ben@example.com\nTo: ana@exam")
    ana = signed_in(site, "ana")
    paths = listed(ana)
    assert {f"/mailbox/{name}/" for name in BROKEN} <= set(paths)
    assert not {"/mailbox/folder/", "/mailbox/draft-half/"} & set(paths)
    for path in paths:
        assert ana.ask(path).status == 200, path
    assert "nuqneH" in ana.ask("/mailbox/no-charset/").text
    assert ana.ask("/mailbox/folder/").status == 404


def test_there_is_no_way_out_of_the_folder(site, folder):
    (site.folder / "secret.eml").write_text(LETTER.format(to="ana@example.com", subject="Secret"))
    (folder / "link.eml").symlink_to(site.folder / "secret.eml")
    ana = signed_in(site, "ana")
    for name in ("../secret", "..%2fsecret", "..%5csecret", "%2e%2e%2fsecret", "link", "/etc/passwd", ".", "..", "%00"):
        answer = ana.ask(f"/mailbox/{name}/")
        assert "Secret" not in answer.text, name
        assert answer.status == 404 or answer.text == ana.ask("/").text or "<h1>Mailbox</h1>" in answer.text, name


def test_a_message_is_there_whole_or_not_at_all(site, folder):
    """While one is being written, nobody sees half of it."""
    write = (
        "from django.conf import settings; from demo.mail_backend import write\n"
        "for n in range(60): write(settings.MAIL_FOLDER, b'To: vera@example.com\\n\\n' + b'x' * 500_000 + b'end')"
    )
    command = [sys.executable, str(MANAGE), "shell", "-v0", "-c", write]
    reminders = set(folder.glob("*.eml"))
    seen = 0
    with subprocess.Popen(command, env=site.environment()) as writing:
        while writing.poll() is None:
            for path in set(folder.glob("*.eml")) - reminders:
                assert path.read_bytes().endswith(b"xend")
                path.unlink()
                seen += 1
    assert writing.returncode == 0
    assert seen


@pytest.mark.parametrize("variables", [{"EMAIL_HOST": "mail.example"}, {"PM_DEMO": "0"}], ids=["a server", "no demo"])
def test_where_mail_goes_to_a_server_there_is_no_mailbox(site, variables):
    probe = (
        "from django.conf import settings; from django.core import mail; from django.test import Client; "
        "from accounts.models import User; client = Client(headers={'host': 'localhost'}); "
        "client.force_login(User.objects.get(username='ana')); "
        "print('pages:', client.get('/mailbox/').status_code, client.get('/mailbox/x/').status_code); "
        "print('linked:', b'/mailbox/' in client.get('/').content); "
        "connection = mail.mailers.default if hasattr(mail, 'mailers') else mail.get_connection(); "
        "print('server:', type(connection).__module__, connection.host)"
    )
    printed = site.must_manage("shell", "-v0", "-c", probe, **variables)
    assert "pages: 404 404" in printed
    assert "linked: False" in printed
    host = variables.get("EMAIL_HOST", "localhost")
    assert f"server: django.core.mail.backends.smtp {host}" in printed
    if "PM_DEMO" not in variables:
        assert "/mailbox/" not in site.must_manage("demo_guide", **variables)
