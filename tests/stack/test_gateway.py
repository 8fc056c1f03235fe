"""nginx as the gateway has it, before servers of the tests' own: what it asks twice, passes on and logs."""

import http.client
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest

from tests.example.site import lasting_port
from tests.one_answer import Stub, answering
from tests.stack.running import until

OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


class Gateway:
    """It listens at this port, and knows these two."""

    def __init__(self, port: int, servers: tuple[Stub, Stub], log: Path) -> None:
        self.port, self.servers, self.log = port, servers, log

    def ask(self, method: str, path: str = "/tasks/5/", **headers: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        with closing(connection):
            connection.request(method, path, headers=headers)
            return connection.getresponse().status

    def asked(self) -> list[str]:
        return [request for server in self.servers for request in server.asked]


@pytest.fixture(params=[""])
def gateway(stack: ModuleType, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Gateway]:
    """`request.param` is what the first of the two answers; nothing, as one that is killed meanwhile."""
    nginx = shutil.which("nginx", path=stack.PLACES)
    assert nginx, "nginx is not installed: scripts/ensure_services.sh does that"
    port = lasting_port()
    with answering(request.param) as first, answering(OK) as second:
        configuration = stack.Stack({"STACK_FOLDER": str(tmp_path), "STACK_PORT": str(port)}).nginx()
        for server, number in ((first, 1), (second, 2)):
            assert f"127.0.0.1:{port + number}" in configuration
            configuration = configuration.replace(f"127.0.0.1:{port + number}", server.address)
        theirs = "http {\nlog_format main '$request';\naccess_log /dev/stdout main;\n"  # as nginx's image has it
        (tmp_path / "nginx.conf").write_text(configuration.replace("http {\n", theirs))
        with (tmp_path / "log").open("w") as log:
            command = [nginx, "-e", "stderr", "-c", str(tmp_path / "nginx.conf")]
            process = subprocess.Popen(command, stdout=log, stderr=log)
        gateway = Gateway(port, (first, second), tmp_path / "log")

        def listens() -> bool:
            try:
                return gateway.ask("GET", "/gateway/alive") == 200
            except OSError:
                return False

        until(listens, "nginx listens")
        yield gateway
        process.send_signal(signal.SIGTERM)
        process.wait(20)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_write_of_which_a_server_dies_is_not_sent_to_the_other(gateway: Gateway, method: str) -> None:
    answers = {gateway.ask(method) for _ in range(4)}
    assert answers == {200, 502}, "whichever had its turn"
    assert len(gateway.asked()) == 4


def test_a_read_is(gateway: Gateway) -> None:
    assert {gateway.ask("GET") for _ in range(4)} == {200}
    assert len(gateway.asked()) > 4


@pytest.mark.parametrize("gateway", [OK], indirect=True)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_what_a_server_is_told_of_the_request(gateway: Gateway, method: str) -> None:
    claims = {"X-Forwarded-Proto": "https", "X-Request-ID": "mine", "X-Forwarded-For": "10.1.2.3", "Host": "pm.example"}
    assert gateway.ask(method, **claims) == 200
    (asked,) = gateway.asked()
    told = dict(line.split(": ", 1) for line in asked.split("\r\n") if ": " in line)
    assert (told["Host"], told["X-Forwarded-Proto"]) == ("pm.example", "http")
    assert told["X-Forwarded-For"] == "10.1.2.3, 127.0.0.1", (
        "the last is the gateway's own; PROXIES says how many count"
    )
    assert re.fullmatch("[0-9a-f]{32}", told["X-Request-ID"])
    assert "Connection" not in told


@pytest.mark.parametrize("gateway", [OK], indirect=True)
def test_a_request_is_logged_once_and_without_its_query(gateway: Gateway) -> None:
    gateway.ask("GET", "/tasks/?search=secret")
    until(lambda: "GET /tasks/" in gateway.log.read_text(), "the line")
    assert gateway.log.read_text().count("/tasks/") == 1
    assert "secret" not in gateway.log.read_text()
