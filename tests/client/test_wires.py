"""What the sockets of both clients do on their way to a site: no redirect is followed, a proxy is told who asks."""

import asyncio

import httpx
import pytest

from django_pm.client.following import Open, Refused
from django_pm.client.sockets import AsyncWire, Wire
from tests.one_answer import SECONDS, answering


@pytest.fixture(params=[Wire, AsyncWire])
def opened(request):
    """`opened(url, **options)`: what comes of opening a socket there."""

    def do(url, **options):
        wire = request.param(options)
        step = Open(url, SECONDS)
        return wire.do(step) if request.param is Wire else asyncio.run(wire.do(step))

    return do


@pytest.mark.parametrize("scheme", ["ws", "http"])
def test_no_redirect_is_followed(opened, scheme):
    """Neither to a socket of somebody else, who would get the ticket, nor to what is no socket."""
    with answering("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n") as elsewhere:
        there = f"{scheme}://{elsewhere.address}/ws/notifications/?ticket=secret"
        with answering(f"HTTP/1.1 302 Found\r\nLocation: {there}\r\nContent-Length: 0\r\n\r\n") as site:
            refused = opened(f"ws://{site.address}/ws/notifications/?ticket=secret", trust_env=False)
        assert refused == Refused(302, "Found")
        assert elsewhere.asked == []


@pytest.mark.parametrize("how", ["url", "object", "auth"])
def test_a_proxy_is_told_who_asks(opened, how):
    with answering("HTTP/1.1 407 Who are you?\r\nContent-Length: 0\r\n\r\n") as proxy:
        url = f"http://ann:pass@{proxy.address}"
        told = {
            "url": url,
            "object": httpx.Proxy(url),
            "auth": httpx.Proxy(f"http://{proxy.address}", auth=("ann", "pass")),
        }
        assert isinstance(opened("ws://site.example/ws/notifications/", proxy=told[how]), Refused)
    assert "Proxy-Authorization: Basic YW5uOnBhc3M=" in proxy.asked[0]
