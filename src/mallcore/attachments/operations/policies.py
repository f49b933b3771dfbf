"""The slots of a mall: the policies by which content is taken and served."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from mallcore.attachments.rules.slots import BUILT_IN, Slot
from mallcore.errors import UnknownSlot


class Slots(Mapping[str, Slot]):
    """Port: the slots by name: those built in, and the host's own, which count first."""

    def __init__(self, own: Iterable[Slot] = ()) -> None:
        self._slots = {slot.name: slot for slot in (*BUILT_IN, *own)}

    def __getitem__(self, name: str) -> Slot:
        try:
            return self._slots[name]
        except KeyError:
            raise UnknownSlot(slot=name[:40], known=", ".join(sorted(self._slots))) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._slots)

    def __len__(self) -> int:
        return len(self._slots)
