"""What leaves a device: a relay on this machine that keeps every byte a client sends, and can be down."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

_TRANSACTION = re.compile(r"(/send/m\.room\.encrypted/)[^/?]+")


@dataclass(frozen=True)
class Request:
    """One HTTP request as it was on the wire.

    Attributes:
        line: method and target.
        head: the header lines.
        body: all of it.
    """

    line: str
    head: tuple[str, ...]
    body: bytes

    @property
    def is_upload(self) -> bool:
        """Whether it carries media."""
        return "/upload" in self.line

    def shape(self) -> tuple[object, ...]:
        """Everything of it but what is random each time: an event's number and ciphertext."""
        line = _TRANSACTION.sub(r"\1*", self.line)
        return line, self.head, self.body if self.is_upload else len(self.body)


class Relay:
    """Passes connections on, and keeps what the client sent.

    Attributes:
        url: where it listens.
        down: True: connections are accepted and closed at once.
    """

    def __init__(self, target: str, listening: socket.socket) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname, parts.port)
        self._listening = listening
        self._lock = threading.Lock()
        self._sent = bytearray()
        self._open: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        self.down = False

    def taken(self) -> bytes:
        """What clients sent since the last call."""
        with self._lock:
            sent, self._sent = bytes(self._sent), bytearray()
        return sent

    def requests(self) -> list[Request]:
        """The same as requests; the client must be at rest."""
        found, rest = [], self.taken()
        while rest:
            head, _, rest = rest.partition(b"\r\n\r\n")
            line, *fields = head.decode("latin-1").split("\r\n")
            length = next((int(f.split(":")[1]) for f in fields if f.lower().startswith("content-length:")), 0)
            assert not any(field.lower().startswith("transfer-encoding:") for field in fields)
            found.append(Request(line, tuple(fields), rest[:length]))
            rest = rest[length:]
        return found

    def serve(self) -> None:
        """Accept until the listening socket is closed."""
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                if self.down:
                    client.close()
                    continue
                server = socket.create_connection(self._target)
                with self._lock:
                    self._open += [client, server]
                threading.Thread(target=self._pass_both_ways, args=(client, server), daemon=True).start()

    def go_down(self) -> None:
        """Be down, and end every connection."""
        self.down = True
        with self._lock:
            ended, self._open = self._open, []
        for one in ended:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close everything."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.go_down()

    def _pass_both_ways(self, client: socket.socket, server: socket.socket) -> None:
        back = threading.Thread(target=self._pass, args=(server, client, False), daemon=True)
        back.start()
        self._pass(client, server, True)
        back.join()
        client.close()
        server.close()

    def _pass(self, source: socket.socket, sink: socket.socket, kept: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 18):
                if kept:
                    with self._lock:
                        self._sent += data
                sink.sendall(data)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@contextmanager
def relaying(target: str) -> Iterator[Relay]:
    """Run a relay in front of a server."""
    relay = Relay(target, socket.create_server(("127.0.0.1", 0), backlog=64))
    thread = threading.Thread(target=relay.serve)
    thread.start()
    try:
        yield relay
    finally:
        relay.close()
        thread.join(10)
