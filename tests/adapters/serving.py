"""Real servers on a free port of the loopback interface, for as long as a ``with`` block lasts."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server


@contextmanager
def uvicorn_serving(app: Any) -> Iterator[str]:
    """The URL at which uvicorn serves an ASGI application."""
    import uvicorn

    config = uvicorn.Config(app, port=0, log_level="error", timeout_graceful_shutdown=2, lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started:
        assert time.monotonic() < deadline, "uvicorn did not start"
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)


@contextmanager
def wsgiref_serving(app: Any) -> Iterator[str]:
    """The URL at which the standard library serves a WSGI application, one request after the other."""

    class Quiet(WSGIRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    with make_server("127.0.0.1", 0, app, WSGIServer, Quiet) as server:
        yield from _served(server)


@contextmanager
def werkzeug_serving(app: Any) -> Iterator[str]:
    """The URL at which werkzeug serves a WSGI application, each request in a thread."""
    import logging

    from werkzeug.serving import make_server as make_werkzeug

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    yield from _served(make_werkzeug("127.0.0.1", 0, app, threaded=True))


def _served(server: Any) -> Iterator[str]:
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
