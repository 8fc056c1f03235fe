"""Who may open a socket, how it ends, and what bad clients get."""

import base64
from contextlib import suppress

import httpx
import pytest
from channels.routing import ProtocolTypeRouter, URLRouter
from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session
from django.urls import path
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.test import APIClient
from websockets.exceptions import ConnectionClosed, InvalidStatus

from django_pm import access
from django_pm.api.base import BaseAPIView
from django_pm.models import Event
from django_pm.models.ticket import Ticket
from django_pm.realtime.asgi import notifications, with_notifications
from tests.api.support import send
from tests.factories import PASSWORD, login_name, make_project, make_task, make_token, make_user
from tests.realtime.conftest import session_of

pytestmark = pytest.mark.postgres


class TestConnecting:
    def test_nobody(self, site):
        with site.socket() as socket:
            assert socket.closed() == 4401

    def test_a_session_needs_an_origin_of_ours(self, site, owner):
        with pytest.raises(InvalidStatus) as refused, site.socket(owner, origin="https://evil.example"):
            pass
        assert refused.value.response.status_code == 403

    @pytest.mark.parametrize("kind", ["token", "basic"])
    def test_headers(self, site, owner, project, kind):
        basic = base64.b64encode(f"{login_name('owner')}:{PASSWORD}".encode()).decode()
        header = f"Bearer {make_token(owner).secret}" if kind == "token" else f"Basic {basic}"
        with site.socket(headers={"Authorization": header}) as socket:
            assert socket.frame("welcome")["heads"] == {str(project.pk): 2}

    def test_guesses_are_limited(self, site, owner, project, settings):
        """Before one is tried: a hash is slow, and takes a thread from those who are connected."""
        settings.DJANGO_PM = {**settings.DJANGO_PM, "THROTTLE_ANONYMOUS": "3/min"}

        def opened(password):
            basic = base64.b64encode(f"{login_name('owner')}:{password}".encode()).decode()
            with site.socket(headers={"Authorization": f"Basic {basic}"}, origin=None) as socket:
                try:
                    return socket.frame("welcome")["type"]
                except ConnectionClosed as closed:
                    return closed.rcvd.code

        assert opened(PASSWORD) == "welcome"
        assert [opened("wrong") for _ in range(3)] == [4401] * 3
        assert opened(PASSWORD) == 4401
        with site.socket(headers={"Authorization": f"Bearer {make_token(owner).secret}"}, origin=None) as socket:
            socket.frame("welcome")

    def test_a_session_counts_beside_the_password_of_a_proxy(self, site, owner, project):
        proxys = base64.b64encode(b"visitor:of the proxy").decode()
        with site.socket(owner, headers={"Authorization": f"Basic {proxys}"}) as socket:
            assert socket.frame("welcome")["heads"] == {str(project.pk): 2}

    def test_a_ticket_opens_one_socket(self, site, api, project):
        ticket = send(api, "POST", "/notifications/ticket/").json()["ticket"]
        with site.socket(query=f"?ticket={ticket}") as socket:
            assert socket.frame("welcome")["heads"] == {str(project.pk): 2}
        with site.socket(query=f"?ticket={ticket}") as socket:
            assert socket.closed() == 4401
        assert not Ticket.objects.exists()

    def test_so_many_for_one_user(self, site, owner, settings):
        settings.DJANGO_PM = {**settings.DJANGO_PM, "SOCKETS_PER_USER": 1}
        with site.socket(owner) as first:
            first.frame("welcome")
            with site.socket(owner) as second:
                assert second.closed() == 4429
            with site.socket(make_user()) as other:
                other.frame("welcome")


class Badge(BaseAuthentication):
    """A site's own: the name of a user, in a header of its own."""

    @staticmethod
    def identify(request):
        name = request.headers.get("X-Badge")
        return (get_user_model().objects.get_by_natural_key(name), None) if name else None

    def authenticate(self, request):
        return self.identify(request)


class TestTheSitesOwnAuthentication:
    """What the API takes, a script may open a socket with: it sends no `Origin`."""

    @pytest.fixture(autouse=True)
    def _badges(self, monkeypatch):
        monkeypatch.setattr(BaseAPIView, "authentication_classes", [SessionAuthentication, Badge])  # read at import

    def test_by_a_header(self, site, owner, project):
        with site.socket(headers={"X-Badge": login_name("owner")}, origin=None) as socket:
            assert socket.frame("welcome")["heads"] == {str(project.pk): 2}

    def test_a_ticket_is_held_to_what_its_credentials_are(self, site, owner, project, monkeypatch):
        make_project(owner)

        def held(self, request):
            found = Badge.identify(request)
            access.limit(found[0], access.Grant(project_ids=frozenset([project.pk])))
            return found

        monkeypatch.setattr(Badge, "authenticate", held)
        api = APIClient(HTTP_X_BADGE=login_name("owner"))
        ticket = send(api, "POST", "/notifications/ticket/").json()["ticket"]
        with site.socket(query=f"?ticket={ticket}", origin=None) as socket:
            assert socket.frame("welcome")["heads"] == {str(project.pk): 2}
        assert send(api, "POST", "/tokens/", {"name": "all", "scope": "write"}).status_code == 403

    def test_not_from_another_sites_page(self, site, owner):
        headers = {"X-Badge": login_name("owner")}
        with pytest.raises(InvalidStatus), site.socket(origin="https://evil.example", headers=headers):
            pass

    def test_a_cookie_alone_is_no_session(self, site, owner):
        with site.socket(headers={"Cookie": f"sessionid={session_of(owner)}"}, origin=None) as socket:
            assert socket.closed() == 4401


class TestNarrowed:
    @pytest.mark.parametrize("how", ["query", "token"])
    def test_what_the_hub_has_yet_to_read_elsewhere_is_not_told(self, site, owner, project, monkeypatch, how):
        """Whose welcome is ahead of the hub reads for itself what comes next, of its own projects alone."""
        monkeypatch.setattr("django_pm.realtime.hub.POLL_SECONDS", 1000)
        other = make_project(owner)
        task = make_task(other)
        held = {"headers": {"Authorization": f"Bearer {make_token(owner, projects=[project]).secret}"}, "origin": None}
        narrow = {"user": owner, "query": f"&project={project.pk}"} if how == "query" else held
        query = "?resume=true" + narrow.pop("query", "")
        with site.socket(owner) as follower:
            follower.frame("welcome")
            make_task(project, title="first")
            follower.frame("task.created")  # so the hub has looked, and looks again when it is woken
            # Without a wake, as from a process whose layer is slow.
            Event.objects.create(project_id=other.pk, type="task.updated", object_type="task", object_id=task.pk)
            with site.socket(**narrow, query=query) as socket:
                socket.frame("welcome")
                make_task(other, title="secret")
                while follower.frame().get("changes", {}).get("title") != [None, "secret"]:
                    pass
                socket.send({"type": "resume", "since": {}})
                socket.frame("resumed")
                make_task(project, title="seen")
                assert socket.frame("task.created")["project"] == project.pk


class TestMountedByHand:
    """Whoever leaves out the helper and routes to the endpoint itself has mounted nothing unprotected."""

    @pytest.fixture
    def application(self):
        return ProtocolTypeRouter({"websocket": URLRouter([path("elsewhere/", notifications)])})

    def test_nobody_gets_in(self, site):
        with site.socket(path="/elsewhere/") as socket:
            assert socket.closed() == 4401

    def test_nor_does_another_sites_page(self, site, owner):
        with (
            pytest.raises(InvalidStatus) as refused,
            site.socket(owner, path="/elsewhere/", origin="https://evil.example"),
        ):
            pass
        assert refused.value.response.status_code == 403

    def test_who_is_signed_in_does(self, site, owner, project):
        with site.socket(owner, path="/elsewhere/") as socket:
            assert socket.frame("welcome")["heads"] == {str(project.pk): 2}


class TestSocketsOnly:
    """Mounted where other processes serve HTTP."""

    @pytest.fixture
    def application(self):
        async def hang_up(scope, receive, send):
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", "code": 4999})

        return with_notifications(websocket=hang_up)

    def test_sockets_are_served(self, site, owner, project):
        with site.socket(owner) as socket:
            assert socket.frame("welcome")["heads"] == {str(project.pk): 2}
        with site.socket(path="/elsewhere/") as socket:
            assert socket.closed() == 4999

    @pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
    def test_requests_are_not(self, site, method):
        answer = httpx.request(method, site.origin + "/tasks/", trust_env=False)
        assert answer.status_code == 426
        assert (answer.headers["Upgrade"], answer.headers["Connection"]) == ("websocket", "upgrade")
        assert answer.text == ("" if method == "HEAD" else "Only WebSockets are served here.\n")


class TestEnding:
    """Nothing that is committed after somebody is signed out is told to them."""

    def end_by(self, how, user, session, token):
        if how == "logout":
            Session.objects.filter(pk=session).delete()
        elif how == "deactivation":
            user.is_active = False
            user.save()
        elif how == "password":
            user.set_password("another")
            user.save()
        else:
            token.delete()

    @pytest.mark.parametrize("how", ["logout", "deactivation", "password", "revocation"])
    def test_nothing_more_is_sent(self, site, owner, project, how):
        session, token = session_of(owner), make_token(owner)
        header = {"Authorization": f"Bearer {token.secret}"} if how == "revocation" else {}
        cookie = {} if header else {"Cookie": f"sessionid={session}"}
        with site.socket(headers=header | cookie) as socket:
            socket.frame("welcome")
            self.end_by(how, owner, session, token)
            make_task(project)
            assert socket.closed() == 4401


class TestFrames:
    @pytest.fixture
    def live(self, site, owner):
        with site.socket(owner) as socket:
            socket.frame("welcome")
            yield socket

    def test_ping(self, live):
        live.send({"type": "ping"})
        assert live.frame() == {"type": "pong"}

    @pytest.mark.parametrize(
        "text", ["", "{", "null", "[]", "5", '"ping"', "{}", '{"type": "x"}', '{"type": null}', "[" * 9000]
    )
    def test_what_cannot_be_used_is_told_and_harms_nothing(self, live, text):
        live.send(text)
        frame = live.frame()
        assert (frame["type"], set(frame)) == ("error", {"type", "code", "detail"})
        live.send({"type": "ping"})
        assert live.frame() == {"type": "pong"}

    @pytest.mark.parametrize(("frame", "code"), [(b"x", 1003), ("x" * 16_385, 1009), ("é" * 9000, 1009)])
    def test_what_closes(self, live, frame, code):
        live.send(frame)
        assert live.closed() == code

    def test_too_many(self, live):
        with suppress(ConnectionClosed):  # which may come before the last is sent
            for _ in range(30):
                live.send({"type": "ping"})
        assert live.closed() == 4429
