"""Following over the WebSocket, as a made-up server tells it: each event once, in order, or a reset, whatever happens.

Nothing is sent: the test plays the network, the clock and the server. tests/realtime/test_follow.py has real ones.
"""

import json
import logging
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from django_pm.client import (
    AccessGained,
    AccessLost,
    Client,
    ConnectionFailed,
    Event,
    Notification,
    NotSignedIn,
    Position,
    ProjectReset,
    Retry,
    ServerError,
    SocketRefused,
    Throttled,
    UnexpectedAnswer,
)
from django_pm.client.following import (
    MAX_FRAME_BYTES,
    Close,
    Closed,
    Following,
    Hear,
    Open,
    Refused,
    Say,
    Tracker,
)
from django_pm.client.steps import Give, Pause, Send
from tests.client.answers import event, notification, ok, refusal

URL = "wss://site.example/ws/notifications/"
HEARTBEAT = 25


def welcome(heads=None, *, epoch="e1", complete=True):
    heads = heads or {}
    epochs = dict.fromkeys(heads, epoch) if isinstance(epoch, str) else epoch
    return {
        "type": "welcome",
        "protocol": 1,
        "heads": heads,
        "epoch": epochs,
        "complete": complete,
        "heartbeat": HEARTBEAT,
    }


def happened(seq, project=7, **values):
    return event(seq, project=project, **values)


def reset(head, reason="epoch", project=7, epoch="e2"):
    return {"type": "reset", "project": project, "head": head, "epoch": epoch, "reason": reason}


def noticed(key):
    return {"type": "notification.created", "notification": notification(id=key)}


SILENCE = None
BROKEN = Closed(None, "the connection broke")


class Network:
    """Plays one list of answers to `Open` and `Hear`, in turn, and notes what was asked for."""

    def __init__(self, *script, since=None, projects=None, patience=None, tickets=()):
        self.now = 1000.0
        self.script = list(script)
        self.tickets = list(tickets)
        self.opened, self.said, self.pauses, self.heard_for, self.asked = [], [], [], [], []
        retry = Retry(clock=lambda: self.now, random=lambda: 1.0)
        self.following = Following(URL, since, projects, retry, patience)
        self.talk = self.following.steps()

    @property
    def positions(self):
        return self.following.tracker.positions

    def take(self, number):
        """The next items."""
        return [self.next() for _ in range(number)]

    def next(self):
        answer = None
        while True:
            step = self.talk.throw(answer) if isinstance(answer, httpx.RequestError) else self.talk.send(answer)
            if isinstance(step, Give):
                [item] = step.items
                return item
            answer = self.answer(step)

    def answer(self, step):
        if isinstance(step, Send):
            return self.request(step.request)
        if isinstance(step, Pause):
            self.pauses.append(step.seconds)
            self.now += step.seconds
        elif isinstance(step, Say):
            self.said.append(json.loads(step.text))
        elif isinstance(step, Open):
            self.opened.append(parse_qs(urlsplit(step.url).query))
            return self.script.pop(0) if isinstance(self.script[0], Refused) else None
        elif isinstance(step, Hear):
            self.heard_for.append(step.seconds)
            heard = self.script.pop(0)
            self.now += step.seconds if heard is SILENCE else 0
            return json.dumps(heard) if isinstance(heard, dict) else heard
        else:
            assert isinstance(step, Close)
        return None

    def request(self, request):
        self.asked.append((request.method, request.path))
        return self.tickets.pop(0) if self.tickets else ok({"ticket": f"t{len(self.asked)}"}, 201)


class TestTelling:
    def test_it_begins_at_the_welcome(self):
        network = Network(welcome({"7": 2}), happened(3), happened(4))
        events = network.take(2)
        assert [each.seq for each in events] == [3, 4]
        assert events[1].position == Position(4, "e1") == network.positions[7]
        assert network.opened == [{"ticket": ["t1"]}]
        assert network.said == []

    def test_positions_are_those_behind_what_was_given(self):
        network = Network(welcome({"7": 2}), happened(3), happened(4))
        network.next()
        assert network.positions == {7: Position(3, "e1")}

    def test_it_resumes_what_is_behind_and_names_nothing_else(self):
        since = {7: Position(3, "e1"), "8": Position(5, "e1"), 9: 1}
        script = [welcome({"7": 4, "8": 5, "9": 1}), happened(4), {"type": "resumed", "replayed": 1}, happened(6, 8)]
        network = Network(*script, since=since)
        assert [each.seq for each in network.take(2)] == [4, 6]
        assert network.opened == [{"ticket": ["t1"], "resume": ["true"]}]
        assert network.said == [{"type": "resume", "since": {"7": 3}, "epoch": {"7": "e1"}}]
        assert network.positions[9] == Position(1, "e1")

    def test_what_was_told_before_is_not_told_again(self):
        network = Network(welcome({"7": 2}), happened(3), happened(3), happened(2), happened(4))
        assert [each.seq for each in network.take(2)] == [3, 4]

    def test_what_is_not_known_is_ignored(self):
        notice = {"type": "weather.changed", "id": 1}
        network = Network(welcome({"7": 2}), notice, {"type": "pong"}, happened(3, news=1))
        assert network.next().raw["news"] == 1

    def test_projects_are_asked_for_by_name(self):
        network = Network(welcome({"7": 2}), happened(3), projects=[7, "8"])
        network.next()
        assert network.opened[0]["project"] == ["7", "8"]

    def test_a_project_that_the_welcome_had_no_room_for(self):
        network = Network(welcome({"7": 2}, complete=False), happened(31, 9), happened(32, 9))
        assert [each.seq for each in network.take(2)] == [31, 32]


class TestWhatElseIsTold:
    def test_access_that_comes_and_goes(self):
        gained = {"type": "access_gained", "project": 9, "head": 4, "epoch": "e9"}
        network = Network(welcome({"7": 2}), gained, happened(5, 9), {"type": "access_lost", "project": 9})
        place = Position(4, "e9")
        assert network.next() == AccessGained(9, place)
        assert network.positions[9] == place
        assert network.next().epoch == "e9"
        assert network.next() == AccessLost(9)
        assert set(network.positions) == {7}

    def test_access_that_came_while_away(self):
        script = [welcome({"7": 2}), BROKEN, welcome({"7": 2, "9": 1}), happened(2, 9)]
        assert [type(item) for item in Network(*script).take(2)] == [AccessGained, Event]

    def test_a_reset(self):
        network = Network(welcome({"7": 2}), reset(1), happened(2))
        assert network.next() == ProjectReset(7, "epoch", Position(1, "e2"))
        assert network.next().position == Position(2, "e2")

    def test_a_reset_of_what_was_resumed(self):
        resumed = {"type": "resumed", "replayed": 0}
        network = Network(welcome({"7": 2}, epoch="e2"), reset(2), resumed, happened(3), since={7: Position(9, "e1")})
        assert network.next() == ProjectReset(7, "epoch", Position(2, "e2"))
        assert network.next().epoch == "e2"

    def test_an_event_that_is_missing_from_what_was_resumed_is_a_reset(self):
        network = Network(welcome({"7": 4}), happened(2), happened(4), since={7: Position(1, "e1")})
        assert network.next().seq == 2
        assert network.next() == ProjectReset(7, "gap", Position(4, "e1"))

    def test_more_than_a_frame_can_name_is_a_reset_too(self):
        since = {number: Position(3, "e" * 32) for number in range(1000, 3000)}
        network = Network(welcome({"1000": 4}, epoch="e" * 32), since=since)
        items = network.take(1)
        [said] = network.said
        assert len(json.dumps(said, separators=(",", ":"))) <= MAX_FRAME_BYTES
        left_out = set(map(str, since)) - set(said["since"])
        assert left_out
        items += network.take(len(left_out) - 1)
        assert {str(item.project) for item in items if item.reason == "too_many"} == left_out
        assert set(network.positions) == {int(each) for each in said["since"]}

    def test_lineages_that_are_the_same_are_left_out_first(self):
        heads = {str(number): 4 for number in range(100_000, 100_500)}
        tracker = Tracker({number: Position(3, "e" * 32) for number in heads})
        said = json.loads(tracker.greet(welcome(heads, epoch="e" * 32)))
        assert (len(said["since"]), said["epoch"]) == (500, {})

    def test_a_notification(self):
        network = Network(welcome({"7": 2}), noticed(42), happened(3))
        assert network.next() == Notification.from_json(notification())
        assert network.positions == {7: Position(2, "e1")}
        assert network.next().seq == 3

    def test_a_notification_that_comes_twice_is_told_once(self):
        script = [noticed(42), noticed(41), noticed(42), BROKEN, welcome({"7": 2}), noticed(41), noticed(43)]
        network = Network(welcome({"7": 2}), *script)
        assert [each.id for each in network.take(3)] == [42, 41, 43]

    def test_notifications_that_were_told_are_not_remembered_for_ever(self):
        tracker = Tracker(None)
        told = [each.id for key in range(5000) for each in tracker.take(noticed(key))]
        assert told == list(range(5000))
        assert len(tracker._notified) < 5000


class TestComingBack:
    @pytest.mark.parametrize(
        "ending",
        [
            *(BROKEN, Closed(1012, ""), Closed(1013, ""), Closed(4408, "resync"), SILENCE),
            *(happened(5), {"type": "heartbeat", "heads": {"7": 4}}),
        ],
    )
    def test_it_goes_on_where_it_was(self, ending):
        network = Network(welcome({"7": 2}), happened(3), ending, welcome({"7": 5}), happened(4), happened(5))
        assert [each.seq for each in network.take(3)] == [3, 4, 5]
        assert network.said == [{"type": "resume", "since": {"7": 3}, "epoch": {"7": "e1"}}]
        assert network.opened[1] == {"ticket": ["t2"], "resume": ["true"]}

    def test_a_ticket_for_each_socket_and_growing_pauses(self):
        nobody = Refused(None, "ConnectionRefusedError")
        script = [
            welcome({"7": 2}),
            happened(3),
            BROKEN,
            *[nobody] * 7,
            Refused(503, ""),
            welcome({"7": 4}),
            happened(4),
        ]
        network = Network(*script)
        network.take(2)
        assert network.pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
        assert len({each["ticket"][0] for each in network.opened}) == 10

    def test_a_server_that_welcomes_and_ends_at_once_is_not_pressed(self):
        network = Network(*[welcome({"7": 2}), Closed(4408, "")] * 4, welcome({"7": 3}), happened(3))
        network.next()
        assert network.pauses == [0.5, 1, 2, 4]

    def test_at_once_where_the_server_says_so(self):
        network = Network(welcome({"7": 2}), happened(3), Closed(4408, ""), welcome({"7": 4}), happened(4))
        network.take(2)
        assert network.pauses == [0]

    def test_nothing_heard_for_two_heartbeats(self):
        network = Network(welcome({"7": 2}), SILENCE, welcome({"7": 3}), happened(3))
        network.next()
        assert network.heard_for[1] == 2 * HEARTBEAT

    def test_a_heartbeat_that_is_not_ahead_changes_nothing(self):
        network = Network(welcome({"7": 2}), {"type": "heartbeat", "heads": {"7": 2, "99": 5}}, happened(3))
        network.next()
        assert len(network.opened) == 1

    def test_a_resume_that_came_too_late_is_repeated(self):
        late = {"type": "error", "code": "no_resume", "detail": "No."}
        network = Network(welcome({"7": 3}), late, welcome({"7": 3}), happened(3), since={7: 2})
        assert network.next().seq == 3

    def test_a_ticket_is_waited_for(self):
        network = Network(welcome({"7": 2}), happened(3), tickets=[httpx.ConnectError("refused"), refusal(503)])
        network.next()
        assert network.pauses == [0.5, 1]

    def test_its_patience_may_end(self):
        network = Network(welcome({"7": 2}), happened(3), BROKEN, *[Refused(None, "no")] * 9, patience=10)
        network.next()
        with pytest.raises(ConnectionFailed):
            network.next()
        assert network.pauses == [0.5, 1, 2, 4]

    def test_what_it_waits_for_is_logged_without_the_ticket(self, caplog):
        with caplog.at_level(logging.DEBUG, logger="django_pm.client"):
            Network(
                welcome({"7": 2}), BROKEN, welcome({"7": 3}), happened(3), tickets=[ok({"ticket": "s3cret"}, 201)]
            ).next()
        assert "Following goes on in 0.5 s" in caplog.text
        assert "s3cret" not in caplog.text + repr(Open(f"{URL}?ticket=s3cret", 1))


class TestEnding:
    @pytest.mark.parametrize(
        ("script", "error"),
        [
            ([Refused(404, "Not Found")], SocketRefused),
            ([Refused(403, "")], SocketRefused),
            ([Refused(500, "")], SocketRefused),
            ([Refused(301, "")], SocketRefused),
            ([Refused(401, "")], NotSignedIn),
            ([Closed(4401, "Not signed in.")], NotSignedIn),
            ([welcome(), Closed(4401, "")], NotSignedIn),
            ([welcome(), Closed(1009, "")], UnexpectedAnswer),
            (["no JSON"], UnexpectedAnswer),
            ([happened(1)], UnexpectedAnswer),
            ([{"type": "welcome"}], UnexpectedAnswer),
            ([welcome(), {"type": "reset"}], UnexpectedAnswer),
            ([welcome(), {"type": "notification.created"}], UnexpectedAnswer),
            ([welcome(), {"type": "notification.created", "notification": {"id": 1}}], UnexpectedAnswer),
            ([welcome(), {"type": "error", "code": "malformed", "detail": ""}], UnexpectedAnswer),
        ],
    )
    def test_what_will_not_pass_ends_it(self, script, error):
        with pytest.raises(error):
            Network(*script).next()

    def test_too_many_sockets_are_waited_for_as_long_as_one_is_patient(self):
        with pytest.raises(Throttled, match="4429"):
            Network(Closed(4429, "Too many sockets."), patience=0).next()
        network = Network(Closed(4429, ""), welcome({"7": 2}), happened(3))
        assert network.next().seq == 3

    @pytest.mark.parametrize(("status", "error"), [(401, NotSignedIn), (500, ServerError)])
    def test_no_ticket(self, status, error):
        with pytest.raises(error):
            Network(tickets=[refusal(status)]).next()

    def test_without_sockets_the_message_names_what_does_without(self):
        with pytest.raises(SocketRefused, match=r"404 Not Found\. .+events\.follow"):
            Network(Refused(404, "Not Found")).next()


class TestAsking:
    @pytest.mark.parametrize("url", ["https://site.example/ws/", "site", "wss://u:p@site.example/"])
    def test_an_address_that_is_none(self, url):
        with Client("https://site.example/") as pm, pytest.raises(ValueError, match="ws_url"):
            pm._following(None, None, None, url)

    @pytest.mark.parametrize(
        ("base", "url"),
        [
            ("https://site.example/api/v1/", "wss://site.example/ws/notifications/"),
            ("http://127.0.0.1:8000/", "ws://127.0.0.1:8000/ws/notifications/"),
        ],
    )
    def test_the_socket_is_at_the_root_of_the_host(self, base, url):
        with Client(base) as pm:
            assert str(pm._following(None, None, None, None)._url) == url

    @pytest.mark.parametrize(("since", "projects"), [({5: 1}, [6]), (None, [])])
    def test_what_contradicts_itself(self, since, projects):
        with pytest.raises(ValueError, match="projects"):
            Network(since=since, projects=projects)


# Whatever happens


class Server:
    """A server by the rules of the protocol, on a network that fails as it is told to."""

    def __init__(self):
        self.heads = {7: 1, 8: 1}
        self.epochs = {7: "a0", 8: "a0"}
        self.rotations = 0
        self.frames = []
        self.sent = {}

    def write(self, project):
        self.heads[project] += 1

    def rotate(self, project):
        """A backup of one event less is restored."""
        self.rotations += 1
        self.epochs[project] = f"a{self.rotations}"
        self.heads[project] = max(1, self.heads[project] - 1)

    def open(self):
        self.sent = {}
        self.frames = [
            welcome(
                {str(key): head for key, head in self.heads.items()}, epoch={str(k): e for k, e in self.epochs.items()}
            )
        ]
        self.begun = {key: (self.epochs[key], head) for key, head in self.heads.items()}

    def resume(self, frame):
        self.sent = dict(self.begun)
        for text, since in frame["since"].items():
            self.sent[int(text)] = (frame["epoch"].get(text, self.begun[int(text)][0]), since)
        self.look()
        self.frames.append({"type": "resumed", "replayed": 0})

    def look(self):
        """Tell what happened since the last look."""
        for key, (epoch, seq) in (self.sent or dict(self.begun)).items():
            head = self.heads[key]
            if epoch != self.epochs[key] or seq > head:
                self.frames.append(reset(head, project=key, epoch=self.epochs[key]))
            else:
                self.frames += [happened(number, key) for number in range(seq + 1, head + 1)]
            self.sent[key] = (self.epochs[key], head)


ACTIONS = st.sampled_from(
    ["write 7", "write 8", "write 7", "look", "look", "drop", "lose", "repeat", "silence", "rotate 7"]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(ACTIONS, max_size=60))
def test_each_event_comes_once_and_in_order_or_a_reset_does(actions):
    """Whoever applies the events, and fetches afresh where told to, ends up with what there is."""
    server, following = Server(), Following(URL, None, None, Retry(random=lambda: 0.0), None)
    talk, answer, last = following.steps(), None, None
    left = list(actions)
    copy = {}
    idle = 0
    while idle < 2:
        step = talk.send(answer)
        answer = None
        if isinstance(step, Give):
            [item] = step.items
            key = item.project
            if isinstance(item, Event):
                assert item.seq == copy.setdefault(key, (1, ""))[0] + 1
                copy[key] = (item.seq, item.epoch)
            else:
                assert isinstance(item, ProjectReset)
                copy[key] = (item.position.seq, item.position.epoch)
            assert following.tracker.positions[key] == Position(*copy[key])
        elif isinstance(step, Send):
            answer = ok({"ticket": "t"}, 201)
        elif isinstance(step, Open):
            server.open()
        elif isinstance(step, Say):
            server.resume(json.loads(step.text))
        elif isinstance(step, Hear):
            while left and not server.frames:
                action, _space, project = left.pop(0).partition(" ")
                if action in {"write", "rotate"}:
                    getattr(server, action)(int(project))
                elif action == "look":
                    server.look()
                elif action == "repeat" and last is not None and "seq" in last:
                    server.frames.append(last)
                elif action == "lose":  # the last frames do not arrive, and the connection breaks after a while
                    server.look()
                    server.frames = [Closed(None, "")]
                elif action in {"drop", "silence"}:
                    server.frames.append(Closed(None, "") if action == "drop" else None)
            if not server.frames:
                server.look()
            if not server.frames:
                idle += 1
                server.frames.append({"type": "heartbeat", "heads": {str(k): h for k, h in server.heads.items()}})
            last = server.frames.pop(0)
            answer = json.dumps(last) if isinstance(last, dict) else last
            if not isinstance(last, dict):
                last = None
    there = {key: (head, server.epochs[key]) for key, head in server.heads.items()}
    assert {key: (place.seq, place.epoch) for key, place in following.tracker.positions.items()} == there
    for key, place in copy.items():
        assert place == there[key]
