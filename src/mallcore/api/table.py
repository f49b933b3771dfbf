"""The routes of one version of the API, with all that is known of each before a request comes."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mallcore.api.http import Mall, Request, Response
from mallcore.api.rules.negotiation import EVENTS, names
from mallcore.api.rules.openapi import FORM
from mallcore.api.rules.problems import Refused
from mallcore.api.rules.routes import Routes, split
from mallcore.api.versions import Face, View
from mallcore.errors import InvalidSettings, UnknownOperation
from mallcore.kernel.operations import Operation, Rest

Page = Callable[[Request, Mall, "Table", bool], Response]
"""A page of the API itself; the last argument says whether it may wait."""


@dataclass(frozen=True)
class Route:
    """One operation at its place, as one version shows it."""

    face: Face
    rest: Rest
    location: tuple[str, ...] | None
    """The path of what a 201 made: parts that begin with ``{`` are filled, the last from the result."""

    @property
    def operation(self) -> Operation:
        """The operation itself, as the newest version has it."""
        return self.face.operation

    @functools.cached_property
    def fields(self) -> frozenset[str]:
        """The names of the operation's parameters."""
        return frozenset(self.face.input.model_fields)

    @functools.cached_property
    def takes_body(self) -> bool:
        """Whether the parameters come in a JSON body."""
        return self.rest.method not in ("GET", "HEAD", "DELETE") and self.rest.raw is None

    @functools.cached_property
    def lists(self) -> frozenset[str]:
        """The parameters that may be repeated in a query string."""
        return frozenset(name for name, kinds in self._kinds.items() if "array" in kinds)

    @functools.cached_property
    def documents(self) -> frozenset[str]:
        """The parameters that are JSON in a query string: nothing simpler can hold them."""
        return frozenset(name for name, kinds in self._kinds.items() if kinds <= {"object", "null"} and kinds)

    @functools.cached_property
    def _kinds(self) -> dict[str, set[str]]:
        schema = self.face.input.model_json_schema()
        return {name: kinds_of(one, schema) for name, one in schema.get("properties", {}).items()}


@dataclass(frozen=True)
class Entry:
    """What answers a method at a path: an operation, a stream beside it, or a page of the API itself."""

    plain: Route | None = None
    stream: Route | None = None
    page: Page | None = None

    def choose(self, accept: str | None) -> Route:
        """The operation that fits what the caller accepts: the stream only for those who ask for events."""
        if self.stream is not None and accept is not None and names(accept, EVENTS):
            return self.stream
        if self.plain is None:
            raise Refused(406, UnknownOperation(f"This is a stream: send Accept: {EVENTS}."))
        return self.plain


class Table:
    """The immutable routes of one version of a catalogue."""

    def __init__(self, view: View, pages: Mapping[str, Page]) -> None:
        self.view = view
        self.documents: dict[tuple[str, bool], tuple[bytes, str]] = {}
        """The OpenAPI document with its entity tag, by where the API is mounted and whether the version is ending."""
        entries: dict[tuple[str, str], Entry] = {("GET", path): Entry(page=page) for path, page in pages.items()}
        for route in routes_of(view):
            key = (route.rest.method, route.rest.path)
            beside = entries.get(key, Entry())
            if route.operation.kind == "stream":
                entries[key] = Entry(beside.plain, route)
            else:
                entries[key] = Entry(route, beside.stream)
        self._routes = Routes((method, path, entry) for (method, path), entry in entries.items())

    def find(self, request: Request) -> tuple[Entry, dict[str, str]]:
        """What answers a request, and the parameters in its path; 404 or 405 when nothing does."""
        segments = split(request.path)
        method = "GET" if request.method == "HEAD" else request.method
        found = self._verbatim(method, request) or self._routes.match(method, segments)
        if found is not None:
            return found
        error = UnknownOperation(method=request.method[:20], path=request.path[:200])
        allowed = self.allowed(segments)
        if allowed:
            raise Refused(405, error, {"allow": ", ".join(allowed)})
        raise Refused(404, error)

    def _verbatim(self, method: str, request: Request) -> tuple[Entry, dict[str, str]] | None:
        """What counts only as it was sent gets it as it was sent: it then refuses another spelling, on record."""
        path = request.target.partition("?")[0]
        found = self._routes.match(method, split(path)) if "%" in path else None
        return found if found is not None and found[0].plain is not None and found[0].plain.rest.verbatim else None

    def allowed(self, segments: list[str]) -> list[str]:
        """The methods that mean something at this path."""
        found = self._routes.methods(segments)
        return sorted({*found, "OPTIONS", *(["HEAD"] if "GET" in found else [])}) if found else []


def routes_of(view: View) -> Iterator[Route]:
    """The operations that have a REST face, by path and method."""
    faced = [(one, rest) for one in view.faces.values() if one.rest is not None for rest in _paths(one.rest)]
    # A path that counts only as it is holds a secret, or is for everybody: neither is where one reads what was made.
    readable = [split(rest.path) for _, rest in faced if rest.method == "GET" and not rest.verbatim]
    for one, rest in sorted(faced, key=lambda pair: (pair[1].path, pair[1].method)):
        yield Route(one, rest, _location(rest, readable))


def refuse_shared(view: View, taken: Iterable[str] = ()) -> None:
    """Raise `InvalidSettings` where two operations are reached alike: one of them would never be.

    ``taken`` are paths at which something else answers.
    """
    known: dict[tuple[str, str, bool], str] = {("GET", path, False): "the API itself" for path in taken}
    for route in routes_of(view):
        path = re.sub(r"{\w+}", "{}", route.rest.path)
        name = known.setdefault((route.rest.method, path, route.operation.kind == "stream"), route.operation.name)
        if name != route.operation.name:
            where = f"{route.rest.method} {route.rest.path} in version {view.version}"
            raise InvalidSettings(setting="plugins", reason=f"{route.operation.name} and {name} both answer {where}")


def _paths(rest: Rest) -> list[Rest]:
    also = [replace(rest, path=rest.also)] if rest.also else []
    return [rest, *also, *([replace(rest, method="POST", accepts=(FORM,))] if rest.posted else [])]


def _location(rest: Rest, readable: list[list[str]]) -> tuple[str, ...] | None:
    """Where one reads what a POST to a collection made: the path that ends in the collection and one parameter."""
    made = split(rest.path)
    if rest.status != 201:
        return None
    for path in readable:
        fits = path[-2:-1] == made[-1:] and path[-1].startswith("{")
        if fits and all(part in made for part in path[:-1]):
            return tuple(path)
    return None


def kinds_of(schema: dict[str, Any], whole: dict[str, Any]) -> set[str]:
    """The JSON types that a schema allows at its top."""
    if "$ref" in schema:
        return kinds_of(whole["$defs"][schema["$ref"].rpartition("/")[2]], whole)
    branches = schema.get("anyOf") or schema.get("oneOf") or ()
    if branches:
        return {kind for branch in branches for kind in kinds_of(branch, whole)}
    if "const" in schema or "enum" in schema:
        return {"string"}
    kind = schema.get("type")
    return {kind} if kind else set()
