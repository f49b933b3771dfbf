"""Keyset paging: a page, and the opaque cursor that continues behind it."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, Field

from mallcore.errors import InvalidInput
from mallcore.kernel.ids import is_text

T = TypeVar("T")
R = TypeVar("R")

Limit = Annotated[int, Field(ge=1, le=200, description="How many items a page holds at most.")]
Cursor = Annotated[
    str | None, Field(max_length=500, description="The `next` of the page before; nothing for the first.")
]


class Page(BaseModel, Generic[T]):
    """Some items in order, and the cursor of the page behind them (``None`` on the last)."""

    items: list[T]
    next: str | None = None


def encode(*key: Any) -> str:
    """The opaque cursor that stands for a key."""
    return base64.urlsafe_b64encode(json.dumps(key, separators=(",", ":")).encode()).decode().rstrip("=")


def decode(cursor: str, *types: type) -> tuple[Any, ...]:
    """The key of a cursor; `InvalidInput` when it is none of ours.

    >>> decode(encode(7, "cat_1"), int, str)
    (7, 'cat_1')
    """
    try:
        key = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        key = None
    if not isinstance(key, list) or len(key) != len(types) or not all(map(_fits, key, types)):
        raise InvalidInput(field="cursor", reason="it is not a cursor of this list; begin again without one")
    return tuple(key)


def _fits(part: Any, kind: type) -> bool:
    """Whether a part of a key is what it should be, and nothing that no database can be asked for."""
    if type(part) is int:
        return kind is int and -(1 << 63) <= part < 1 << 63
    return type(part) is kind and (not isinstance(part, str) or is_text(part))


def page(rows: Sequence[R], limit: int, shape: Callable[[R], T], key: Callable[[R], Sequence[Any]]) -> Page[T]:
    """A page from up to ``limit + 1`` rows: the row too many only proves that there is a next page."""
    shown = rows[:limit]
    following = encode(*key(shown[-1])) if len(rows) > limit else None
    return Page(items=[shape(row) for row in shown], next=following)
