"""`serve`: the API on this machine only, for whoever holds the token, and for API keys of the mall."""

from __future__ import annotations

import hmac
import ipaddress
import json
import os
import secrets
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from types import FrameType
from typing import Annotated, Any

import typer

from mallcore import Mall, Principal, attachments
from mallcore.adapters.asgi import MallASGI
from mallcore.adapters.cli.output import Output
from mallcore.adapters.cli.session import Cli
from mallcore.api import Options, Request, bearer
from mallcore.api.graphql import GraphQLOptions
from mallcore.errors import InvalidInput, MissingExtra, Unauthenticated, Unavailable
from mallcore.kernel.ports import Verifiers

BASE = "/api"
HOST, PORT = "127.0.0.1", 8000
TOKEN_VARIABLE = "MALLCORE_TOKEN"
_GRACE_SECONDS = 5
_CHANNELS = "{ structureListChannels { nodes { slug name } } }"

PortOption = Annotated[int, typer.Option(metavar="N", min=0, max=65535, help="The port; 0 takes a free one.")]


def serve(
    cli: Cli,
    host: Annotated[str, typer.Option(metavar="HOST", help="A loopback address: others are refused.")] = HOST,
    port: PortOption = PORT,
    token_env: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help=f"The environment variable with the token. [default: {TOKEN_VARIABLE}, or a new token]"
        ),
    ] = None,
    dev: Annotated[bool, typer.Option("--dev", help="Also serve a page to explore GraphQL, at /api/graphql.")] = False,
) -> None:
    """Serve the API at `/api` on this machine, for an admin token and API keys, and do what is due. Ctrl-C stops it."""
    token, made = token_from(token_env)
    with bound(host, port) as listening:
        door = Door(listening, token)
        mall = cli.open()
        announce(cli.out, door, token if made else None, token_env or TOKEN_VARIABLE, dev)
        run(mall, door, dev)
    cli.out.note("Stopped.")


@dataclass(frozen=True)
class Door:
    """Where the API is reached, and the token that opens it."""

    listening: socket.socket
    token: str

    @property
    def url(self) -> str:
        """The API's address."""
        host, port = self.listening.getsockname()[:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}{BASE}"


def token_from(variable: str | None) -> tuple[str, bool]:
    """The token, and whether it was made now rather than given."""
    given = os.environ.get(variable or TOKEN_VARIABLE)
    if given is None and variable is None:
        return secrets.token_urlsafe(32), True
    if not given or not (given.isascii() and given.isprintable()) or " " in given:
        reason = "it must hold a token of printable ASCII without spaces: the API is never served without one"
        raise InvalidInput(field=variable or TOKEN_VARIABLE, reason=reason)
    return given, False


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens there; anything but this machine itself is refused."""
    try:
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise InvalidInput(field="--host", reason=f"{host[:100]!r} is no address of this machine ({error})") from None
    if not ipaddress.ip_address(str(place[0]).partition("%")[0]).is_loopback:
        raise InvalidInput(
            field="--host",
            reason=f"{host!r} is not a loopback address, and this server has one token and no TLS: "
            "to be seen by others, mount mallcore.adapters.asgi.MallASGI in a server of your own",
        )
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(place)
        listening.listen(128)
    except OSError as error:
        listening.close()
        reason = f"Port {port} on {host} can't be had ({error.strerror or error})"
        raise Unavailable(f"{reason}: choose another with --port; --port 0 takes a free one.", port=port) from None
    return listening


def admits(mall: Mall, token: str) -> Callable[[Request], Principal | None]:
    """Who asks: the admin with the token, a client with a key, nobody without either; what is wrong is refused."""
    expected, verifiers, known = token.encode(), mall.services.ports[Verifiers], bearer(mall, _refused)

    def authenticate(request: Request) -> Principal | None:
        header = request.headers.get("authorization")
        if header is None:
            return None
        scheme, _, given = header.partition(" ")
        matches = hmac.compare_digest(given.strip().encode(), expected)  # takes the same time for any wrong one
        if matches and scheme.lower() == "bearer":
            return Principal.system("admin")
        return known(request) if verifiers.of(given.strip()) else _refused(request)

    return authenticate


def _refused(request: Request) -> Principal | None:
    raise Unauthenticated("The token is not the one that `mallcore serve` printed.")


class Mounted:
    """The API under its base path, and nothing else."""

    def __init__(self, api: MallASGI) -> None:
        self.api = api

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        inside = scope["type"] != "http" or scope["path"] == BASE or scope["path"].startswith(BASE + "/")
        if inside:
            await self.api({**scope, "root_path": BASE}, receive, send)
            return
        body = b'{"detail":"The API is at /api."}\n'
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 404, "headers": headers})
        await send({"type": "http.response.body", "body": body if scope["method"] != "HEAD" else b""})


def announce(out: Output, door: Door, token: str | None, variable: str, dev: bool) -> None:
    """Say where the API and GraphQL are, and what opens them; a token that was given is not repeated."""
    curl = f'curl -sS -H "Authorization: Bearer {token or f"${variable}"}"'
    graphql = f"{door.url}/graphql" if find_spec("graphql") else None
    lines = [f"{curl} {door.url}/channels", *([f"{curl} {graphql} {asked(_CHANNELS)}"] if graphql else [])]

    def show(out: Output, _: Any) -> None:
        out.say(f"Serving the mall at {door.url}  (Ctrl-C stops it)", "bold")
        out.say(f"  token    {token or f'as in {variable}'}")
        out.say(f"  GraphQL  {graphql or 'needs mallcore[graphql]'}{'  (in a browser: a page to explore it)' * dev}")
        for line in lines:
            out.say(f"  try      {line}")

    out.result({"url": door.url, "token": token, "graphql": graphql, "try": lines}, show)
    out.text.file.flush()


def asked(document: str) -> str:
    """What curl is told to send a GraphQL document.

    >>> print(asked("{ node }"))
    -H "Content-Type: application/json" -d '{"query": "{ node }"}'
    """
    return f"""-H "Content-Type: application/json" -d '{json.dumps({"query": document})}'"""


def run(mall: Mall, door: Door, dev: bool = False) -> None:
    """Serve until a signal says to stop, then finish what is under way and end all streams."""
    try:
        import uvicorn
    except ModuleNotFoundError:
        raise MissingExtra(what="Serving", extra="cli") from None
    addresses = mall.services.ports[attachments.Addresses]
    addresses.url = addresses.url or door.url  # so that links lead here, unless the mall says where they lead
    api = MallASGI(mall, admits(mall, door.token), options=Options(graphql=GraphQLOptions(explorer=dev)))

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            api.close()  # streams first: they would be waited for
            await super().shutdown(sockets)

    mall.start_scheduler()
    options: dict[str, Any] = {"log_level": "warning", "access_log": False, "server_header": False}
    options["proxy_headers"] = False  # else whoever is on this machine says itself from where it comes
    config = uvicorn.Config(Mounted(api), timeout_graceful_shutdown=_GRACE_SECONDS, **options)
    with suppress(KeyboardInterrupt):
        signal.signal(signal.SIGTERM, _stop)  # uvicorn passes the signal on when it has finished
        Server(config).run(sockets=[door.listening])


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
