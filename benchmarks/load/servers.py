"""Server processes: the mall, or bare Starlette, on one uvicorn worker with httptools and uvloop.

python -m benchmarks.load.servers mall URL PORT
python -m benchmarks.load.servers starlette PORT SIZE…     # GET /SIZE answers so many bytes, GET /304 answers 304
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any

HOST = "127.0.0.1"


def mall_app(url: str) -> Any:
    """The mall's REST face, open to everybody."""
    from mallcore import Mall, Principal
    from mallcore.adapters.asgi import MallASGI

    return MallASGI(Mall.open(url), lambda request: Principal.system("bench"))


def starlette_app(sizes: list[int]) -> Any:
    """Bodies of these sizes, made once, and a 304."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    def answering(body: bytes) -> Any:
        async def answer(request: Request) -> Response:
            return Response(body, media_type="application/json", headers={"etag": '"1"'})

        return answer

    async def not_modified(request: Request) -> Response:
        return Response(status_code=304, headers={"etag": '"1"'})

    routes = [Route(f"/{size}", answering(b"x" * size)) for size in sizes]
    return Starlette(routes=[*routes, Route("/304", not_modified)])


@contextmanager
def serving(*arguments: str) -> Iterator[int]:
    """A server process on a free port, ready to answer, until the block ends; the port is put in after the first."""
    port = _free_port()
    command = [sys.executable, "-m", "benchmarks.load.servers", *(one.replace("PORT", str(port)) for one in arguments)]
    process = subprocess.Popen(command)
    try:
        _await(port)
        yield port
    finally:
        process.terminate()
        process.wait(20)


def get(port: int, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """One request on a connection of its own."""
    connection = HTTPConnection(HOST, port, timeout=60)
    try:
        connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _await(port: int) -> None:
    for _ in range(600):
        try:
            get(port, "/")
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError("the server did not start")


def main() -> None:
    import uvicorn

    what, *rest = sys.argv[1:]
    if what == "mall":
        app, port = mall_app(rest[0]), rest[1]
    else:
        app, port = starlette_app([int(size) for size in rest[1:]]), rest[0]
    settings: dict[str, Any] = {"http": "httptools", "loop": "uvloop", "access_log": False, "log_level": "warning"}
    uvicorn.run(app, host=HOST, port=int(port), **settings)


if __name__ == "__main__":
    main()
