"""Keys that stand twice in one JSON object: which of them counts would be anybody's guess."""

from __future__ import annotations

import json
from typing import Any


class RepeatedKey(ValueError):
    """A key stands twice in one object."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of its pairs; raises `RepeatedKey`. For ``json.loads(…, object_pairs_hook=once)``.

    >>> once([("a", 1), ("b", 2)])
    {'a': 1, 'b': 2}
    """
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise RepeatedKey(key)
        found[key] = value
    return found


def refuse_repeated(content: bytes) -> None:
    """Raise `RepeatedKey` for JSON, known to be such, in which a key stands twice in one object."""
    json.loads(content, object_pairs_hook=once)
