"""What is measured on: the real taxonomies when they are there, and made-up trees of any size."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path

TAXONOMIES = ("shopify-2024-07.yml", "shopify-2025-03.yml", "shopify-2025-08.txt")
REAL = 10_595


def folder() -> Path:
    """Where the taxonomies lie: ``$MALLCORE_SHARED/data/taxonomy``, or ``../shared`` beside the repository."""
    shared = os.environ.get("MALLCORE_SHARED")
    base = Path(shared) if shared else Path(__file__).resolve().parents[2] / "shared"
    return base / "data" / "taxonomy"


@cache
def taxonomy(name: str = TAXONOMIES[-1]) -> bytes | None:
    """A real taxonomy's file, or nothing when it is not there."""
    path = folder() / name
    return path.read_bytes() if path.is_file() else None


def main_taxonomy() -> tuple[bytes, str]:
    """The tree most rows are measured on, and what to call it."""
    real = taxonomy()
    if real is not None:
        return real, f"{TAXONOMIES[-1]} ({REAL} nodes)"
    return synthetic(REAL), f"synthetic tree ({REAL} nodes; {TAXONOMIES[-1]} is absent)"


def renamed(data: bytes, suffix: str) -> bytes:
    """The same taxonomy with every name changed: every node of it changes."""
    lines = data.decode().split("\n")
    return "\n".join(_renamed(line, suffix) for line in lines).encode()


def _renamed(line: str, suffix: str) -> str:
    if " : " not in line or line.startswith("#"):
        return line
    gid, names = line.split(" : ", 1)
    return gid + " : " + " > ".join(f"{name} {suffix}" for name in names.split(" > "))


def synthetic(count: int, first_top: int = 0) -> bytes:
    """A taxonomy of ``count`` nodes in Shopify's form: a dozen children a node, as deep as that needs."""
    return ("# Format: {GID} : {names}\n" + "\n".join(islice(_lines(first_top), count)) + "\n").encode()


_BRANCHES = 12
_TOP = 5_000  # nodes below one node at the top, itself included


def _lines(first_top: int) -> Iterator[str]:
    top = first_top
    while True:
        waiting = [(f"n{top}", f"Section {top}")]
        for place in range(_TOP):
            key, names = waiting[place]
            yield f"gid://shopify/TaxonomyCategory/{key} : {names}"
            if len(waiting) < _TOP:
                waiting.extend((f"{key}-{n}", f"{names} > Category {n}") for n in range(1, _BRANCHES + 1))
        top += 1
