"""A dispatch over a small bookshop, and short ways to ask it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from mallcore import Mall, Principal
from mallcore.api import Dispatch, Request, Response
from tests.adapters.faces import PythonFace, authenticate
from tests.adapters.scenarios import bookshop

OWNER = Principal.system("tests")


class Asking:
    """Asks a dispatch as an adapter does: quickly first, then with patience."""

    def __init__(self, dispatch: Dispatch) -> None:
        self.dispatch = dispatch
        self.quick = False

    def __call__(
        self, method: str, path: str, body: Any = None, *, query: str = "", base: str = "/api", **headers: str
    ) -> Response:
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        names = {"authorization": f"Bearer {OWNER.ref}"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        request = Request(method, path, query, names, content, base)
        found = self.dispatch.quick(request)
        self.quick = found is not None
        return self.dispatch.run(request) if found is None else found


@pytest.fixture
def mall() -> Iterator[Mall]:
    """A mall with the scenarios' bookshop."""
    with Mall.open("sqlite://") as opened:
        bookshop(PythonFace(opened, OWNER))
        yield opened


@pytest.fixture
def ask(mall: Mall) -> Asking:
    """Ask the mall's API as its owner, mounted at /api."""
    return Asking(Dispatch(mall, authenticate))
