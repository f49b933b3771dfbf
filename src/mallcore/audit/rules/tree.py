"""The Merkle tree of RFC 6962 and RFC 9162: roots, proofs of inclusion and consistency, and checking them.

A ``Node`` reads the hash of a complete subtree: ``node(height, index)`` covers the leaves from ``index << height`` on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256

Node = Callable[[int, int], bytes]
EMPTY = sha256().digest()
"""The root of a tree without leaves."""


def leaf_hash(leaf: bytes) -> bytes:
    """The hash of a leaf: SHA-256 over a zero byte and its content."""
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node: SHA-256 over a one byte and its children's hashes."""
    return sha256(b"\x01" + left + right).digest()


def complete_root(hashes: Sequence[bytes]) -> bytes:
    """The root over a power of two of hashes."""
    while len(hashes) > 1:
        hashes = [node_hash(hashes[at], hashes[at + 1]) for at in range(0, len(hashes), 2)]
    return hashes[0]


class Frontier:
    """A tree that grows leaf by leaf and remembers no more than its O(log n) complete subtrees.

    >>> grown = Frontier([leaf_hash(b"a"), leaf_hash(b"b")])
    >>> grown.root == node_hash(leaf_hash(b"a"), leaf_hash(b"b"))
    True
    """

    __slots__ = ("_peaks", "size")

    def __init__(self, hashes: Iterable[bytes] = ()) -> None:
        self.size = 0
        self._peaks: list[bytes] = []
        for one in hashes:
            self.add(one)

    def add(self, hashed: bytes) -> None:
        """Append a leaf by its hash."""
        rest, peaks = self.size, self._peaks
        while rest & 1:
            hashed = sha256(b"\x01" + peaks.pop() + hashed).digest()
            rest >>= 1
        peaks.append(hashed)
        self.size += 1

    @property
    def root(self) -> bytes:
        """The root of the tree as it is now."""
        return _folded(self._peaks)


def root(node: Node, size: int) -> bytes:
    """The root of the tree's first ``size`` leaves."""
    return _span(node, 0, size)


def inclusion(node: Node, index: int, size: int) -> list[bytes]:
    """The audit path of a leaf in the tree of this size, from the leaf upwards."""
    start, end, siblings = 0, size, []
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            siblings.append((middle, end))
            end = middle
        else:
            siblings.append((start, middle))
            start = middle
    return [_span(node, *one) for one in reversed(siblings)]


def consistency(node: Node, old: int, size: int) -> list[bytes]:
    """The proof that the tree of this size begins with the tree of the old size."""
    if old == 0:
        return []
    start, end, parts = 0, size, []
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            parts.append((middle, end))
            end = middle
        else:
            parts.append((start, middle))
            start = middle
    if start:
        parts.append((start, end))
    return [_span(node, *one) for one in reversed(parts)]


def included(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether the path proves that the leaf with this hash is at the index in the tree with the root."""
    if not 0 <= index < size:
        return False
    at, last, found = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return False
        if at & 1 or at == last:
            found = node_hash(sibling, found)
            at, last = _up(at, last)
        else:
            found = node_hash(found, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and found == root


def consistent(old: int, size: int, old_root: bytes, root: bytes, path: Sequence[bytes]) -> bool:
    """Whether the path proves that the tree with the root begins with the one with the old root."""
    if old == size or old == 0:
        return not path and 0 <= old <= size and old_root == (root if old == size else EMPTY)
    if not 0 < old < size or not path:
        return False
    parts = [old_root, *path] if old & (old - 1) == 0 else list(path)
    at, last = _shifted(old - 1, size - 1)
    before = after = parts[0]
    for part in parts[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            before, after = node_hash(part, before), node_hash(part, after)
            at, last = _up(at, last)
        else:
            after = node_hash(after, part)
        at, last = at >> 1, last >> 1
    return last == 0 and (before, after) == (old_root, root)


def _up(at: int, last: int) -> tuple[int, int]:
    """Where a node without a sibling on its right meets one on its left."""
    while at and not at & 1:
        at, last = at >> 1, last >> 1
    return at, last


def _shifted(at: int, last: int) -> tuple[int, int]:
    while at & 1:
        at, last = at >> 1, last >> 1
    return at, last


def _split(size: int) -> int:
    """The largest power of two below the size."""
    return 1 << (size - 1).bit_length() - 1


def _span(node: Node, start: int, end: int) -> bytes:
    """The root over the leaves from ``start`` to before ``end``, which begin where a subtree of that size can."""
    return _folded([node(height, index) for height, index in _subtrees(start, end)])


def _subtrees(start: int, end: int) -> Iterator[tuple[int, int]]:
    """The complete subtrees that cover the leaves, from left to right, each smaller than the one before."""
    while start < end:
        height = (end - start).bit_length() - 1
        yield height, start >> height
        start += 1 << height


def _folded(peaks: Sequence[bytes]) -> bytes:
    if not peaks:
        return EMPTY
    found = peaks[-1]
    for left in reversed(peaks[:-1]):
        found = node_hash(left, found)
    return found
