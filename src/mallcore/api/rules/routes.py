"""Which operation a method and a path mean: one immutable trie, matched with backtracking.

A parameter stands for one segment; a parameter of `SEVERAL` may stand for more, because servers differ in whether they
decode ``%2F``: ``nodes/fiction%2Fcrime`` and ``nodes/fiction/crime`` are the same everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")

SEVERAL = frozenset({"node"})


@dataclass(slots=True)
class _Step(Generic[T]):
    """What may follow at one place of a path."""

    literals: dict[str, _Step[T]] = field(default_factory=dict)
    parameters: dict[str, _Step[T]] = field(default_factory=dict)
    target: T | None = None

    def after(self, part: str) -> _Step[T]:
        """The step behind a part of a route's path, made if it is new."""
        if part.startswith("{"):
            return self.parameters.setdefault(part[1:-1], _Step())
        return self.literals.setdefault(part, _Step())


class Routes(Generic[T]):
    """Targets by method and path; ``{names}`` in a path are parameters.

    >>> routes = Routes([("GET", "/nodes/{node}", "show"), ("POST", "/nodes/{node}/move", "move")])
    >>> routes.match("POST", ["nodes", "fiction", "crime", "move"])
    ('move', {'node': 'fiction/crime'})
    >>> routes.methods(["nodes", "fiction"])
    ['GET']
    """

    def __init__(self, entries: Iterable[tuple[str, str, T]]) -> None:
        self._roots: dict[str, _Step[T]] = {}
        for method, path, target in entries:
            step = self._roots.setdefault(method, _Step())
            for part in split(path):
                step = step.after(part)
            if step.target is not None:
                raise ValueError(f"two operations answer {method} {path}")
            step.target = target

    def match(self, method: str, segments: list[str]) -> tuple[T, dict[str, str]] | None:
        """The target and its parameters, or nothing."""
        root = self._roots.get(method)
        return None if root is None else _match(root, segments, 0)

    def methods(self, segments: list[str]) -> list[str]:
        """The methods that mean something at this path."""
        return sorted(method for method in self._roots if self.match(method, segments) is not None)


def split(path: str) -> list[str]:
    """The segments of a path that begins with a slash; the empty path and ``/`` have none.

    >>> split("/channels/books"), split("/"), split("/a/")
    (['channels', 'books'], [], ['a', ''])
    """
    return path[1:].split("/") if len(path) > 1 else []


def _match(step: _Step[T], segments: list[str], place: int) -> tuple[T, dict[str, str]] | None:
    if place == len(segments):
        return None if step.target is None else (step.target, {})
    segment = segments[place]
    literal = step.literals.get(segment)
    if literal is not None:
        found = _match(literal, segments, place + 1)
        if found is not None:
            return found
    if not segment:
        return None
    for name, following in step.parameters.items():
        found = (
            _several(name, following, segments, place) if name in SEVERAL else _one(name, following, segments, place)
        )
        if found is not None:
            return found
    return None


def _one(name: str, following: _Step[T], segments: list[str], place: int) -> tuple[T, dict[str, str]] | None:
    found = _match(following, segments, place + 1)
    if found is not None:
        found[1][name] = segments[place]
    return found


def _several(name: str, following: _Step[T], segments: list[str], place: int) -> tuple[T, dict[str, str]] | None:
    """The longest run of segments for which the rest of the route still matches."""
    for end in range(len(segments), place, -1):
        found = _match(following, segments, end)
        if found is not None:
            run = segments[place:end]
            if "" in run:
                continue
            found[1][name] = "/".join(run)
            return found
    return None
