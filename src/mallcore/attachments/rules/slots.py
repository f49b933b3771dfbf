"""Slots: policies for what may be uploaded, and how it is served. (First form; the owner of this file completes it.)"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Facts:
    """What inspection found in a content."""

    size: int
    detected_type: str
    width: int | None = None
    height: int | None = None
    frames: int | None = None

    def to_json(self) -> dict[str, Any]:
        """The facts that are known, but size and type."""
        found = asdict(self)
        return {name: found[name] for name in ("width", "height", "frames") if found[name] is not None}


@dataclass(frozen=True, slots=True)
class Slot:
    """A policy."""

    name: str
    largest: int = 5 << 30
    public: bool = False


def refusal(slot: Slot, facts: Facts) -> str | None:
    """Why the slot does not take content with these facts; nothing when it does."""
    return None


BUILT_IN = (Slot("image", 20 << 20, True), Slot("banner", 20 << 20, True), Slot("upload", 50 << 20), Slot("file"))
