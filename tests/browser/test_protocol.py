"""pm-client.js against a server that plays every part of the protocol, the rare ones too."""

import json

import pytest

from tests.browser.fake_server import FakeServer, event

SHORT = 0.001


@pytest.fixture
def server(page) -> FakeServer:
    return FakeServer(page)


def seqs(heard):
    return [each["seq"] for each in heard]


class TestEvents:
    def test_each_is_handed_on_once(self, server):
        server.start()
        socket = server.live()
        assert socket.query == {"resume": ["true"]}
        assert socket.resume == {"type": "resume", "since": {}, "epoch": {}}
        socket.send(event(17), event(18), event(18), event(19), event(16), event(1, project=6), event(20))
        assert [(each["project"], each["seq"]) for each in server.heard(4)] == [(5, 18), (5, 19), (6, 1), (5, 20)]
        assert server.states() == ["connecting", "live"]

    def test_what_is_not_understood_is_passed_over(self, server):
        server.start()
        server.socket().send(event(18), {"type": "reset", "project": 5, "head": 3, "reason": "ahead"})  # no welcome yet
        socket = server.live()
        socket.send("{", "null", "5", "[]", '""', {"type": "pong"}, {"type": "notification.created"}, {"no": "type"})
        socket.send({"type": "heartbeat"}, event(18))
        assert seqs(server.heard(1)) == [18]
        assert len(server.sockets) == 1

    def test_a_notification_is_handed_on_as_it_came(self, server):
        """It moves nothing: the next event is the one that was due."""
        server.start()
        server.page.evaluate("() => { window.told = []; client.on('notification', (row) => told.push(row)); }")
        row = {"id": 42, "reason": "commented", "project": 5, "task": 31, "title": "<b>Dig</b>", "read_at": None}
        socket = server.live()
        socket.send(event(18), {"type": "notification.created", "notification": row}, event(19))
        assert seqs(server.heard(2)) == [18, 19]
        assert server.page.evaluate("told") == [row]
        assert len(server.sockets) == 1

    def test_a_gap_is_filled_before_anything_else(self, server):
        server.start()
        server.live().send(event(18), event(20))
        server.pass_time(SHORT)
        socket = server.welcomed(2, heads={"5": 20})
        assert server.sockets[0].closed
        assert socket.resume["since"] == {"5": 18}
        socket.send(event(19), event(20), {"type": "resumed", "replayed": 2}, event(21))
        assert seqs(server.heard(4)) == [18, 19, 20, 21]

    def test_gaps_without_end_do_not_make_a_storm(self, server):
        server.start()
        server.live().send(event(20))
        server.pass_time(SHORT)
        server.live(2).send(event(20))
        server.until(lambda: server.state() == "reconnecting")
        server.pass_time(0.9)
        assert len(server.sockets) == 2
        server.pass_time(0.2)
        assert server.socket(3)

    def test_projects_beyond_the_welcome_begin_with_their_first_event(self, server):
        server.start()
        server.live(complete=False).send(event(801, project=9), event(801, project=9), event(802, project=9))
        assert seqs(server.heard(2)) == [801, 802]

    def test_a_listener_that_fails_harms_nobody(self, server, watched):
        watched.expected = "my own mistake"
        server.start()
        server.page.evaluate("() => { client.on('event', () => { throw new Error('my own mistake'); }); }")
        off = "window.second = []; window.off = client.on('event', (event) => second.push(event.seq))"
        server.page.evaluate(f"() => {{ {off} }}")
        socket = server.live()
        socket.send(event(18), event(19))
        assert seqs(server.heard(2)) == [18, 19]
        server.page.evaluate("() => { off(); }")
        socket.send(event(20))
        server.heard(3)
        assert server.page.evaluate("second") == [18, 19]
        assert len(watched.provoked) == 3

    def test_a_known_state_to_begin_with(self, server):
        server.start(since={"5": 11}, epoch={"5": "a"}, projects=[5, 6])
        socket = server.welcomed(heads={"5": 17, "6": 3})
        assert socket.query["project"] == ["5", "6"]
        assert socket.resume == {"type": "resume", "since": {"5": 11}, "epoch": {"5": "a"}}
        server.heard(0)


class TestResume:
    def drop(self, server, socket):
        socket.close(1012)
        server.until(lambda: server.state() == "reconnecting")
        server.pass_time(1)

    def test_only_what_moved_is_asked_for(self, server):
        server.start()
        self.drop(server, server.live(heads={"5": 17, "6": 3}))
        socket = server.welcomed(2, heads={"5": 17, "6": 4})
        assert socket.resume == {"type": "resume", "since": {"6": 3}, "epoch": {"6": "a"}}
        assert server.state() == "reconnecting"
        socket.send(event(4, 6), {"type": "resumed", "replayed": 1}, event(18), event(5, 6))
        assert seqs(server.heard(3)) == [4, 18, 5]
        assert server.states() == ["connecting", "live", "reconnecting", "live"]

    def test_gained_and_lost_meanwhile(self, server):
        server.start()
        self.drop(server, server.live(heads={"5": 17}))
        socket = server.welcomed(2, heads={"7": 2})
        assert socket.resume["since"] == {"5": 17}
        socket.send({"type": "access_lost", "project": "5"}, {"type": "resumed", "replayed": 0}, event(3, 7))
        gained = {"type": "access_gained", "project": 7, "head": 2}
        assert server.heard(3) == [gained, {"type": "access_lost", "project": 5}, event(3, 7)]

    def test_gained_and_lost_while_live(self, server):
        server.start()
        gained = {"type": "access_gained", "project": 7, "head": 2}
        lost = {"type": "access_lost", "project": 5}
        socket = server.live()
        socket.send(gained, event(2, 7), event(3, 7), lost)
        assert server.heard(3) == [gained, event(3, 7), lost]
        self.drop(server, socket)
        assert server.welcomed(2, heads={"7": 4}).resume["since"] == {"7": 3}

    def test_a_reset_begins_at_its_head(self, server):
        server.start()
        socket = server.live()
        reset = {"type": "reset", "project": 5, "head": 3, "reason": "epoch"}
        socket.send(reset, event(3), event(4))
        assert server.heard(2) == [reset, event(4)]
        self.drop(server, socket)  # the old epoch is forgotten: with it the server would have to reset again
        resume = server.welcomed(2, heads={"5": 5}, epoch="b").resume
        assert resume == {"type": "resume", "since": {"5": 4}, "epoch": {"5": "b"}}

    def test_another_epoch_is_told_by_the_server(self, server):
        server.start()
        self.drop(server, server.live())
        socket = server.welcomed(2, heads={"5": 17}, epoch="b")
        assert socket.resume == {"type": "resume", "since": {"5": 17}, "epoch": {"5": "a"}}

    def test_the_frame_stays_within_the_limit(self, server):
        server.start()
        many = {str(10**9 + n): 10**6 for n in range(500)}
        socket = server.live(heads=many, epoch="e" * 32)
        busiest = [10**9 + n for n in range(100)]
        socket.send(*[event(10**6 + 1, key) for key in busiest])
        server.heard(100)
        self.drop(server, socket)
        moved = dict.fromkeys(many, 10**6 + 9)
        socket = server.welcomed(2, heads=moved, epoch="e" * 32)
        resume = socket.resume
        assert len(json.dumps(resume)) < 16 * 1024
        assert {str(key) for key in busiest} < set(resume["since"])
        resets = server.heard(100 + 500 - len(resume["since"]))[100:]
        assert {each["reason"] for each in resets} == {"too_many"}
        assert {str(each["project"]) for each in resets} == set(many) - set(resume["since"])
        first = resets[0]
        socket.send(event(first["head"], first["project"]), event(first["head"] + 1, first["project"]))
        assert server.heard(100 + len(resets) + 1)[-1]["seq"] == first["head"] + 1

    def test_closing_and_connecting_again(self, server):
        server.start()
        socket = server.live()
        socket.send(event(18))
        server.heard(1)
        server.page.evaluate("client.close()")
        server.until(lambda: socket.closed)
        server.pass_time(120)
        assert len(server.sockets) == 1
        assert server.requests == []
        server.page.evaluate("client.connect()")
        assert server.welcomed(2, heads={"5": 20}).resume["since"] == {"5": 18}
        assert server.states() == ["connecting", "live", "closed", "connecting"]


class TestHeartbeats:
    def test_one_that_is_ahead_leads_to_a_resume(self, server):
        server.start()
        server.live().send({"type": "heartbeat", "heads": {"5": 19}})
        server.until(lambda: server.state() == "live")
        server.pass_time(2)
        assert len(server.sockets) == 1
        server.pass_time(1)
        assert server.welcomed(2, heads={"5": 19}).resume["since"] == {"5": 17}

    def test_events_that_are_on_their_way_are_waited_for(self, server):
        server.start()
        socket = server.live()
        socket.send({"type": "heartbeat", "heads": {"5": 19}}, event(18))
        server.heard(1)
        server.pass_time(3)
        socket.send(event(19))
        server.heard(2)
        server.pass_time(10)
        assert len(server.sockets) == 1

    def test_silence_is_a_broken_connection(self, server):
        server.start()
        socket = server.live(heartbeat=20)
        server.pass_time(39)
        socket.send({"type": "heartbeat", "heads": {}}, event(18))
        server.heard(1)
        server.pass_time(39)
        assert server.state() == "live"
        server.pass_time(2)
        assert server.socket(2)

    def test_no_welcome_is_one_too(self, server):
        server.start()
        server.socket()
        server.pass_time(59)
        assert len(server.sockets) == 1
        server.pass_time(3)
        assert server.socket(2)

    def test_a_computer_that_wakes_up_asks(self, server):
        server.start()
        socket = server.live()
        server.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        server.until(lambda: socket.frames[-1] == {"type": "ping"})
        socket.send({"type": "pong"}, event(18))
        server.heard(1)
        server.pass_time(10)
        assert server.state() == "live"
        server.page.evaluate("window.dispatchEvent(new Event('online'))")
        server.until(lambda: socket.frames[-2:] == [{"type": "ping"}] * 2)
        hidden = "Object.defineProperty(document, 'visibilityState', { value: 'hidden' })"
        server.page.evaluate(f"() => {{ {hidden}; document.dispatchEvent(new Event('visibilitychange')); }}")
        assert [frame["type"] for frame in socket.frames].count("ping") == 2
        server.pass_time(6)
        assert server.socket(2)


class TestClosing:
    def test_pauses_double_up_to_a_limit(self, server):
        server.on_connect = lambda socket: socket.close(1012)
        server.start(pollAfter=1000)
        pauses = [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]
        for number, pause in enumerate(pauses):
            timers = server.until(lambda n=number: len(now := server.timers(pauses)) > n and now)
            assert timers == pauses[: number + 1]
            server.pass_time(pause / 1000 + SHORT)
            server.socket(number + 2)
        server.page.evaluate("Math.random = () => 0.3")
        server.until(lambda: server.timers([30000]) == [30000] * 3)
        server.pass_time(30 + SHORT)
        server.until(lambda: server.timers([9000]) == [9000])

    def test_a_steady_connection_begins_anew(self, server):
        server.start()
        server.socket().close(1012)
        server.until(lambda: server.state() == "connecting")
        server.pass_time(0.6)
        server.socket(2).close(1012)
        server.pass_time(1.1)
        socket = server.live(3)
        server.pass_time(11)
        socket.close(1012)
        server.until(lambda: server.state() == "reconnecting")
        server.pass_time(0.6)
        assert server.socket(4)

    @pytest.mark.parametrize("code", [1013, 4429])
    def test_a_server_that_is_busy_is_left_alone(self, server, code):
        server.start()
        server.live().close(code)
        server.until(lambda: server.state() == "reconnecting")
        server.pass_time(3.9)
        assert len(server.sockets) == 1
        server.pass_time(0.2)
        assert server.socket(2)
        assert server.requests == []

    def test_too_slow_comes_back_at_once(self, server):
        server.start(retryBase=60_000)
        server.live().close(4408)
        server.until(lambda: server.state() == "reconnecting")
        server.pass_time(SHORT)
        assert server.socket(2)

    def test_not_signed_in_ends_it(self, server):
        server.start()
        server.live().close(4401)
        server.until(lambda: server.state() == "signed-out")
        server.page.evaluate("window.dispatchEvent(new Event('online'))")
        server.pass_time(600)
        assert len(server.sockets) == 1
        server.page.evaluate("client.connect()")
        server.live(2)

    def test_a_resume_that_came_too_late(self, server, watched):
        watched.expected = "no_resume"
        server.start()
        server.welcomed().send({"type": "error", "code": "no_resume", "detail": "Too late."})
        server.until(lambda: server.state() == "reconnecting")
        server.pass_time(SHORT)
        assert server.socket(2)

    def test_a_ticket_for_each_connection(self, server):
        server.page.evaluate("""() => {
          window.tickets = ["one", "two"];
          window.client = new PMClient({ ticket: async () => tickets.shift() ?? null });
          client.connect();
        }""")
        assert server.socket().query["ticket"] == ["one"]
        server.sockets[0].close(1012)
        server.eventually(lambda: len(server.sockets) == 2)
        assert server.sockets[1].query["ticket"] == ["two"]
        server.sockets[1].close(1012)
        server.eventually(lambda: server.state() == "signed-out")
        assert len(server.sockets) == 2

    def test_a_ticket_that_cannot_be_got_is_tried_again(self, server):
        server.page.evaluate("""() => {
          window.asked = 0;
          window.client = new PMClient({ pollAfter: 99, ticket: async () => { asked += 1; throw new Error("away"); } });
          client.connect();
        }""")
        server.eventually(lambda: server.page.evaluate("asked") == 4)

    def test_a_ticket_that_never_comes_is_asked_for_again(self, server):
        server.page.evaluate("""() => {
          window.asked = 0;
          window.client = new PMClient({ ticket: () => { asked += 1; return new Promise(() => {}); } });
          client.connect();
        }""")
        server.eventually(lambda: server.page.evaluate("asked") == 2)
        assert server.state() == "connecting"


class TestPolling:
    """The projects that `self.feeds` holds, over HTTP, while no socket is welcomed."""

    @pytest.fixture(autouse=True)
    def feeds(self, server):
        self.feeds = {"5": (17, "a")}
        server.answer = self.answer
        server.on_connect = lambda socket: socket.close(3000)

    def answer(self, path, query):
        if path == "/projects/":
            return 200, {"results": [{"id": int(key)} for key in self.feeds], "next": None}
        key = path.split("/")[2]
        if key not in self.feeds:
            return 404, {"detail": "Not found."}
        head, epoch = self.feeds[key]
        since, size = int(query["since"][0]), int(query["page_size"][0])
        if since > head or query.get("epoch", [epoch]) != [epoch]:
            return 410, {"detail": "Gone.", "reason": "epoch", "head": head, "epoch": epoch}
        results = [event(seq, int(key)) for seq in range(since + 1, min(head, since + size) + 1)]
        return 200, {"epoch": epoch, "head": head, "results": results, "next": None}

    def poll(self, server, **options):
        """Begin, and let the first round end."""
        server.start(**options)
        server.eventually(lambda: server.state() == "polling")
        assert len(server.sockets) >= 3

    def test_each_event_once_and_then_by_socket_from_there(self, server):
        self.poll(server)
        rounds = server.requests.count("/projects/")
        self.feeds["5"] = (500, "a")
        server.eventually(lambda: len(server.heard_so_far()) >= 483)
        assert seqs(server.heard(483)) == list(range(18, 501))
        assert server.requests.count("/projects/") <= rounds + 2  # not one for each of three pages
        server.on_connect = lambda socket: None
        count = len(server.sockets)
        server.page.evaluate("window.dispatchEvent(new Event('online'))")
        socket = server.welcomed(count + 1, heads={"5": 501})
        assert socket.resume == {"type": "resume", "since": {"5": 500}, "epoch": {"5": "a"}}
        socket.send(event(500), event(501), {"type": "resumed", "replayed": 1})
        assert seqs(server.heard(484))[-2:] == [500, 501]
        asked = len(server.requests)
        server.pass_time(20)
        assert len(server.requests) == asked
        assert server.states() == ["connecting", "polling", "live"]

    def test_a_round_that_ends_late_is_over(self, server):
        self.poll(server)
        count, asked = len(server.sockets), len(server.requests)
        server.on_connect = lambda socket: None
        server.eventually(lambda: len(server.requests) == asked + 2, step=0.05)  # the list and the feed
        server.page.evaluate("window.dispatchEvent(new Event('online'))")
        server.live(count + 1)
        server.pass_time(10)
        assert server.state() == "live"
        assert len(server.requests) == asked + 2

    def test_projects_come_and_go(self, server, watched):
        watched.expected = "status of 404"
        self.poll(server)
        self.feeds = {"6": (3, "x")}
        server.eventually(lambda: len(server.heard_so_far()) >= 2)
        gained = {"type": "access_gained", "project": 6, "head": 3, "epoch": "x"}
        assert server.heard(2) == [gained, {"type": "access_lost", "project": 5}]
        self.feeds["6"] = (4, "x")
        server.eventually(lambda: len(server.heard_so_far()) >= 3)
        assert server.heard(3)[-1] == event(4, 6)

    def test_what_cannot_be_continued_is_reset(self, server, watched):
        watched.expected = "status of 410"
        self.poll(server)
        self.feeds["5"] = (9, "b")
        server.eventually(server.heard_so_far)
        assert server.heard(1) == [{"type": "reset", "project": 5, "head": 9, "reason": "epoch", "epoch": "b"}]
        self.feeds["5"] = (10, "b")
        server.eventually(lambda: len(server.heard_so_far()) >= 2)
        assert server.heard(2)[-1]["seq"] == 10

    def test_an_epoch_is_learnt_on_the_way(self, server, watched):
        watched.expected = "status of 410"
        self.poll(server, since={"5": 16})
        assert server.heard(1) == [event(17)]
        self.feeds["5"] = (30, "b")
        server.eventually(lambda: len(server.heard_so_far()) >= 2)
        assert server.heard(2)[-1]["reason"] == "epoch"

    def test_closing_in_the_middle_of_a_page(self, server):
        self.poll(server)
        server.page.evaluate("() => { client.on('event', ({ seq }) => seq === 20 && client.close()); }")
        self.feeds["5"] = (30, "a")
        server.eventually(lambda: server.state() == "closed")
        asked, tried = len(server.requests), len(server.sockets)
        server.pass_time(60)
        assert seqs(server.heard(3)) == [18, 19, 20]
        assert (len(server.requests), len(server.sockets)) == (asked, tried)

    def test_signed_out(self, server, watched):
        watched.expected = "status of 401"
        self.poll(server)
        server.answer = lambda path, query: (401, {})
        server.eventually(lambda: server.state() == "signed-out")

    def test_a_server_that_fails_is_no_reason_to_say_live(self, server, watched):
        watched.expected = "status of 503"
        self.poll(server)
        working, server.answer = server.answer, lambda path, query: (503, {})
        server.eventually(lambda: server.state() == "reconnecting")
        server.answer = working
        self.feeds["5"] = (18, "a")
        server.eventually(lambda: server.state() == "polling")
        assert seqs(server.heard(1)) == [18]

    def test_failures_count_in_a_row_alone(self, server):
        server.on_connect = lambda socket: None if len(server.sockets) % 4 == 1 else socket.close(3000)
        server.start(pollAfter=1, retryCap=500)  # so 4 would be too many
        for number in (1, 5, 9):
            server.eventually(lambda n=number: len(server.sockets) == n)
            server.live(number)
            server.sockets[-1].close(1012)
            server.until(lambda: server.state() == "reconnecting")
        assert server.requests == []

    def test_sockets_that_worked_once_are_not_given_up_soon(self, server):
        server.on_connect = lambda socket: None
        server.start()
        server.live().close(1012)
        server.on_connect = lambda socket: socket.close(3000)
        server.until(lambda: server.state() == "reconnecting")
        server.eventually(lambda: len(server.sockets) >= 8, seconds=200)
        assert server.requests == []
        server.eventually(lambda: server.state() == "polling", seconds=400)
        assert len(server.sockets) >= 13
