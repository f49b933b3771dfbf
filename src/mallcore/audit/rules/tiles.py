"""The tree in tiles (C2SP tlog-tiles): 256 hashes side by side, of leaves (level 0) or of full tiles a level below."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256

from mallcore.audit.rules.tree import Node, complete_root

WIDTH = 256
_HEIGHT = 8  # of the subtree that a full tile stands for
_HASH = 32

Tile = Callable[[int, int], bytes]
"""Reads the hashes of a tile, by level and number, as one string of bytes."""


def path(level: int | str, number: int, width: int = WIDTH) -> str:
    """Where tlog-tiles keeps a tile; ``level`` is ``entries`` for bundles of leaves.

    >>> path(0, 1234067), path("entries", 5, 17)
    ('tile/0/x001/x234/067', 'tile/entries/005.p/17')
    """
    groups = [f"{number % 1000:03d}"]
    while number := number // 1000:
        groups.append(f"x{number % 1000:03d}")
    partial = "" if width == WIDTH else f".p/{width}"
    return f"tile/{level}/{'/'.join(reversed(groups))}{partial}"


def bundle(leaves: Iterable[bytes]) -> bytes:
    """Leaves as tlog-tiles keeps them: each behind its length in two bytes."""
    return b"".join(len(leaf).to_bytes(2, "big") + leaf for leaf in leaves)


def node_reader(tile: Tile) -> Node:
    """The hashes of complete subtrees, read from tiles."""

    def node(height: int, index: int) -> bytes:
        level, below = divmod(height, _HEIGHT)
        number, at = divmod(index << below, WIDTH)
        data = tile(level, number)
        return complete_root(hashes(data)[at : at + (1 << below)])

    return node


def hashes(data: bytes) -> list[bytes]:
    """The hashes of a tile one by one."""
    return [data[at : at + _HASH] for at in range(0, len(data), _HASH)]


def grown(size: int, leaves: Sequence[bytes], tile: Tile) -> dict[tuple[int, int], bytes]:
    """The tiles that are new or longer when leaves, given by their hashes, are appended to a tree of this size."""
    changed: dict[tuple[int, int], bytes] = {}
    level, start, new = 0, size, list(leaves)
    while new:
        full = []
        for number, data in _filled(level, start, new, tile):
            changed[level, number] = data
            if len(data) == WIDTH * _HASH:
                full.append(complete_root(hashes(data)))
        level, start, new = level + 1, start // WIDTH, full
    return changed


def _filled(level: int, start: int, new: list[bytes], tile: Tile) -> Iterator[tuple[int, bytes]]:
    done = 0
    while done < len(new):
        number, at = divmod(start + done, WIDTH)
        part = new[done : done + WIDTH - at]
        yield number, (tile(level, number)[: at * _HASH] if at else b"") + b"".join(part)
        done += len(part)


def shown(size: int, since: int = 0) -> list[tuple[int, int, int]]:
    """The tiles of a tree of this size that one of size ``since`` has not: level, number and width of each."""
    found, level = [], 0
    while size:
        for number in range(since // WIDTH, -(-size // WIDTH)):
            width = min(WIDTH, size - number * WIDTH)
            if number * WIDTH + width > since:
                found.append((level, number, width))
        level, size, since = level + 1, size // WIDTH, since // WIDTH
    return found


def digest(data: bytes) -> str:
    """The SHA-256 of an object's content, in hex."""
    return sha256(data).hexdigest()
