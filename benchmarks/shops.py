"""The same small shop as plain FastAPI, by Cadwyn and by mallcore: a page of lines, one line, a line that is added.

Each change renames one field of a line, so that the oldest version knows none of the newest's names. Every shop answers
from memory; all are asked as ASGI applications, without a server. Nothing here is measured: see `benchmarks.versions`.
"""

# No `from __future__ import annotations`: FastAPI and Cadwyn read the annotations of what is made in functions.

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, create_model

from mallcore import Context, Mall, Principal, hookimpl
from mallcore.adapters.asgi import MallASGI
from mallcore.api.versions import Change, Release, field
from mallcore.kernel.operations import Rest, operation

NAMES = ("title", "amount", "quantity", "colour", "weight")
OLD = {name: f"old_{name}" for name in NAMES}
DATES = tuple(f"2025-{month:02d}-15" for month in range(1, 11))


class Line(BaseModel):
    """A line of a cart."""

    id: str
    title: str
    amount: int
    quantity: int
    colour: str
    weight: float


class Lines(BaseModel):
    """A page of lines."""

    items: list[Line]
    next: str | None = None


LINES = [Line(id=f"lin_{n}", title=f"Line {n}", amount=n, quantity=2, colour="red", weight=0.5) for n in range(20)]
PAGE = Lines(items=LINES, next="more")
Ask = Callable[[str, str, bytes, dict[str, str]], tuple[int, bytes]]


def renaming(name: str, date: str) -> type[Change]:
    """The change that gave a field its name."""
    said = {"__doc__": f"The field is called {name}.", "version": date, "touches": (Line, "shop.add_line")}
    return type(f"Renames{name.title()}", (Change,), {**said, "was": [field(name).was_named(OLD[name])]})


class Shop:
    """The mall's plug-in with the shop's operations, its releases and its changes."""

    def __init__(self, changes: int) -> None:
        self.releases = [Release(date, stable=datetime(2025, 1, 1, tzinfo=UTC)) for date in DATES[: changes + 1]]
        self.changes = [renaming(name, date) for name, date in zip(NAMES, DATES[1 : changes + 1], strict=False)][::-1]

    @hookimpl
    def operations_extra(self) -> list[Any]:
        return [list_lines, get_line, add_line]

    @hookimpl
    def releases_extra(self) -> list[Release]:
        return self.releases

    @hookimpl
    def changes_extra(self) -> list[type[Change]]:
        return self.changes


@operation(permission=None, name="shop.list_lines", rest=Rest("GET", "/lines"))
def list_lines(ctx: Context) -> Lines:
    """The lines."""
    return PAGE


@operation(permission=None, name="shop.get_line", rest=Rest("GET", "/lines/{line}"))
def get_line(ctx: Context, *, line: str) -> Line:
    """One line."""
    return LINES[0]


@operation(permission=None, name="shop.add_line", rest=Rest("POST", "/lines", 201))
def add_line(ctx: Context, *, id: str, title: str, amount: int, quantity: int, colour: str, weight: float) -> Line:
    """A line like the one that is given."""
    return Line(id=id, title=title, amount=amount, quantity=quantity, colour=colour, weight=weight)


def ours(changes: int) -> tuple[Any, Mall]:
    """The shop by mallcore, and the mall behind it."""
    mall = Mall.open("sqlite://", plugins=[Shop(changes)], follow=False)
    return MallASGI(mall, lambda request: Principal.anonymous()), mall


def plain() -> Any:
    """The shop in plain FastAPI, which has one version."""
    from fastapi import FastAPI

    app = FastAPI()
    _routes(app)
    return app


def _routes(router: Any) -> None:
    @router.get("/lines", response_model=Lines)
    async def lines() -> Any:
        return PAGE

    @router.get("/lines/{line}", response_model=Line)
    async def one(line: str) -> Any:
        return LINES[0]

    @router.post("/lines", response_model=Line, status_code=201)
    async def add(given: Line) -> Any:
        return given


def cadwyn(changes: int) -> Any:
    """The shop by Cadwyn. Its converters are for the whole response, so that one that is nested is walked by hand."""
    import cadwyn as c

    made = [_cadwyn_change(c, name) for name in NAMES[:changes]]
    dates = [datetime.fromisoformat(date).date() for date in DATES[: changes + 1]]
    newest_first = [c.Version(date, change) for date, change in zip(dates[1:], made, strict=True)][::-1]
    app = c.Cadwyn(versions=c.VersionBundle(c.HeadVersion(), *newest_first, c.Version(dates[0])))
    router = c.VersionedAPIRouter()
    _routes(router)
    app.generate_and_include_versioned_routers(router)
    return app


def _cadwyn_change(c: Any, name: str) -> Any:
    old = OLD[name]

    def down(line: dict[str, Any]) -> None:
        line[old] = line.pop(name)

    @c.convert_response_to_previous_version_for(Lines)
    def page(response: Any) -> None:
        for line in response.body["items"]:
            down(line)

    @c.convert_response_to_previous_version_for(Line)
    def one(response: Any) -> None:
        down(response.body)

    @c.convert_request_to_next_version_for(Line)
    def given(request: Any) -> None:
        request.body[name] = request.body.pop(old)

    said = {
        "description": f"The field is called {name}.",
        "instructions_to_migrate_to_previous_version": (c.schema(Line).field(name).had(name=old),),
    }
    return type(f"Had{name.title()}", (c.VersionChange,), {**said, "page": page, "one": one, "given": given})


def asking(app: Any) -> Ask:
    """Asks an ASGI application, on one event loop for all calls."""
    loop = asyncio.new_event_loop()

    def ask(method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        return loop.run_until_complete(_asked(app, method, path, body, headers))

    return ask


async def _asked(app: Any, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    listed = [(name.encode(), value.encode()) for name, value in headers.items()]
    if body:
        listed += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    scope = {
        "type": "http", "http_version": "1.1", "method": method, "path": path, "raw_path": path.encode(),
        "query_string": b"", "headers": listed, "root_path": "", "scheme": "http", "server": ("shop", 80),
        "client": ("127.0.0.1", 1), "app": app, "state": {},
    }  # fmt: skip
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent[0]["status"], b"".join(one.get("body", b"") for one in sent[1:])


def many(count: int, width: int = 6) -> list[type[BaseModel]]:
    """Models for many operations."""
    fields: dict[str, Any] = {f"field_{n}": (str, "") for n in range(width)}
    return [create_model(f"Thing{number}", id=(str, ...), **fields) for number in range(count)]
