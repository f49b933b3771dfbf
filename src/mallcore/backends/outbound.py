"""Sending to the outside over urllib3: to an address that was looked at, once, and never further.

A name is resolved here, all its addresses are checked, and the connection goes to one of them; certificate and `Host`
are the name's. There are no redirects, no proxies and no cookies, no more is read than a status needs, and a clock
that no trickle of bytes can stop ends all of it.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from http.client import HTTPException
from importlib.util import find_spec
from typing import Any

from mallcore.errors import MissingExtra
from mallcore.kernel.hooks import hookimpl
from mallcore.webhooks import Answer, Egress, Message, Sender, Target

Resolve = Callable[[str, int], Sequence[str]]
CONNECT_SECONDS = 5.0
WHOLE_SECONDS = 15.0
MOST_READ = 1 << 16
MOST_ADDRESSES = 3


def resolved(host: str, port: int) -> list[str]:
    """The addresses of a name, as this machine knows them."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


class Outbound:
    """A `Sender` that goes nowhere but to where the mall allows."""

    def __init__(self, egress: Egress, resolve: Resolve = resolved, seconds: float = WHOLE_SECONDS) -> None:
        import urllib3.connection  # here, where one thread does it: several at once would meet half of it

        self._http: Any = urllib3.connection
        self._egress = egress
        self._resolve = resolve
        self._seconds = seconds
        self._tls: ssl.SSLContext | None = None

    def send(self, message: Message) -> Answer:
        """POST it; what goes wrong on the way is an answer without a status."""
        from urllib3.exceptions import HTTPError

        target = message.target
        try:
            addresses = self._egress.allowed(self._resolve(target.host, target.port))
            return self._sent(message, addresses[:MOST_ADDRESSES])
        except (HTTPError, HTTPException, OSError, ValueError) as error:
            return Answer(error=reason_of(error))

    def _sent(self, message: Message, addresses: Sequence[str]) -> Answer:
        """To the first address that takes a connection; once something may have been sent, to no other."""
        connection, watch = self._connected(message.target, addresses)
        try:
            headers = {"host": message.target.authority, **message.headers}
            return _asked(connection, watch, message.target.path, message.body, headers)
        except Exception:
            if watch.rang:
                return Answer(error=f"it took longer than {self._seconds:g} s")
            raise
        finally:
            watch.stop()
            connection.close()

    def _connected(self, target: Target, addresses: Sequence[str]) -> tuple[Any, _Watch]:
        for left, address in enumerate(addresses, 1 - len(addresses)):
            connection = self._connection(target, address)
            watch = _Watch(connection, self._seconds)
            try:
                connection.connect()
                return connection, watch
            except Exception:
                watch.stop()
                connection.close()
                if left == 0:
                    raise
        raise OSError("its host has no address")

    def _connection(self, target: Target, address: str) -> Any:
        if target.scheme == "http":
            return self._http.HTTPConnection(address, target.port, timeout=CONNECT_SECONDS)
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._http.HTTPSConnection(
            address, target.port, timeout=CONNECT_SECONDS, ssl_context=self._tls, server_hostname=target.host
        )


class _Watch:
    """Ends a connection when its time is over, whatever it is doing."""

    def __init__(self, connection: Any, seconds: float) -> None:
        self.rang = False
        self._connection = connection
        self._timer = threading.Timer(seconds, self._ring)
        self._timer.daemon = True
        self._timer.start()

    def _ring(self) -> None:
        self.rang = True
        with suppress(OSError, AttributeError):
            self._connection.sock.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        """It is over in time."""
        self._timer.cancel()


def _asked(connection: Any, watch: _Watch, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    connection.request("POST", path, body=body, headers=dict(headers), preload_content=False, decode_content=False)
    response = connection.getresponse()
    if watch.rang:  # headers that were cut off look like headers that ended
        raise TimeoutError
    with suppress(Exception):  # the status has arrived, and counts
        response.read(MOST_READ)  # a little, so that who answers may end in peace; what it says is nobody's business
    return Answer(status=response.status, retry_after=response.headers.get("retry-after"))


def reason_of(error: BaseException) -> str:
    """Why there was no answer, without what an error tells of this machine."""
    for one in (error, error.__cause__, error.__context__):
        if isinstance(one, ssl.SSLCertVerificationError):
            return f"its certificate does not hold: {one.verify_message}"
        if isinstance(one, socket.gaierror):
            return "its host has no address"
        if isinstance(one, TimeoutError):
            return f"it did not answer within {CONNECT_SECONDS:g} s"
        if isinstance(one, ConnectionRefusedError):
            return "it refused the connection"
    return f"the connection failed: {type(error).__name__}"


@hookimpl
def webhook_sender(egress: Egress) -> Sender | None:
    """Send webhooks over HTTPS."""
    if find_spec("urllib3") is None:
        raise MissingExtra(what="Sending webhooks", extra="webhooks")
    return Outbound(egress)
