"""Progress of long work, told to whoever watches the call; where nobody does, it costs nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")
Listener = Callable[[str, int, "int | None"], None]
"""Called with the stage that is under way, how much of it is done, and of how much (``None``: nobody knows)."""

_PART = 2000
_listener: ContextVar[Listener | None] = ContextVar("mallcore_progress", default=None)


@contextmanager
def watched(listener: Listener) -> Iterator[None]:
    """Within the block, hear of the progress of what is called."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def stage(name: str) -> None:
    """Say that a stage begins whose length nobody knows."""
    listener = _listener.get()
    if listener is not None:
        listener(name, 0, None)


def told(name: str, done: int, total: int | None) -> None:
    """Say how far a stage is."""
    listener = _listener.get()
    if listener is not None:
        listener(name, done, total)


def parts(name: str, items: Sequence[T]) -> Iterator[Sequence[T]]:
    """The items whole, or, while somebody watches, in parts between which the progress is told.

    >>> with watched(lambda stage, done, total: print(stage, done, total)):
    ...     list(parts("writing", ["a", "b"]))
    writing 0 2
    writing 2 2
    [['a', 'b']]
    """
    listener = _listener.get()
    if listener is None:
        yield items
        return
    listener(name, 0, len(items))
    for start in range(0, len(items), _PART):
        yield items[start : start + _PART]
        listener(name, min(start + _PART, len(items)), len(items))
