"""A server that gives everybody the same answer, and keeps what it was asked."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SECONDS = 5.0


class Stub:
    """Answers each connection with one text, or by closing it where that is empty."""

    def __init__(self, answer: str) -> None:
        self.answer = answer
        self.asked: list[str] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "{}:{}".format(*self.listener.getsockname())
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self) -> None:
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:  # closed
                return
            with peer:
                peer.settimeout(SECONDS)
                request = b""
                while b"\r\n\r\n" not in request and (part := peer.recv(4096)):
                    request += part
                self.asked.append(request.decode())
                peer.sendall(self.answer.encode())


@contextmanager
def answering(answer: str) -> Iterator[Stub]:
    stub = Stub(answer)
    try:
        yield stub
    finally:
        stub.listener.shutdown(socket.SHUT_RDWR)
        stub.listener.close()
        stub.thread.join(SECONDS)
