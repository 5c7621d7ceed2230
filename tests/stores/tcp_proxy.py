"""A way to a server that can be cut and mended, as an outage looks from where its clients are."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class TcpProxy:
    """Passes bytes on between clients and a server. `cut` ends every connection and refuses new ones, until `mend`."""

    def __init__(self, host: str, port: int) -> None:
        self._server = host, port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._lock = threading.Lock()
        self._listen()

    def __len__(self) -> int:
        """How many connections there are."""
        return len(self._pairs)

    def cut(self) -> None:
        # Without it a thread that accepts would keep the socket open.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        with self._lock:
            for each in (each for pair in self._pairs for each in pair):
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        self._listen()

    def _listen(self) -> None:
        self._thread = threading.Thread(target=self._accept, args=(self._listener,), daemon=True)
        self._thread.start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                pair = client, socket.create_connection(self._server)
                with self._lock:
                    self._pairs.add(pair)
                for one, other in (pair, pair[::-1]):
                    threading.Thread(target=self._pass, args=(pair, one, other), daemon=True).start()

    def _pass(self, pair: tuple[socket.socket, socket.socket], one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while said := one.recv(65536):
                other.sendall(said)
        with self._lock:
            first = pair in self._pairs
            self._pairs.discard(pair)
        # The first of the two directions to end has the other one end, and that one tidies up.
        for each in pair:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR) if first else each.close()


@contextmanager
def proxy_to(host: str, port: int) -> Iterator[TcpProxy]:
    way = TcpProxy(host, port)
    try:
        yield way
    finally:
        way.cut()
