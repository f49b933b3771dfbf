"""Slots: policies for what may be uploaded, how long it is kept, and how it is served.

Which policy counts is the host's word, what the content is its bytes' word: nothing here believes the sender.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mallcore.attachments.rules.recipes import Recipe, parsed_recipe
from mallcore.errors import InvalidInput, InvalidSettings

MIB, MEGAPIXEL = 1 << 20, 1_000_000
PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp", "image/avif")
DOCUMENTS = (
    "application/pdf", "application/epub+zip", "application/rtf", "text/plain", "text/csv", "application/json",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "application/vnd.oasis.opendocument.text", "application/vnd.oasis.opendocument.spreadsheet",
    "application/vnd.oasis.opendocument.presentation",
)  # fmt: skip
_NAME = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*")
_PATTERN = re.compile(r"\*/\*|[a-z]+/(?:\*|[a-z0-9][a-z0-9.+-]*)")


@dataclass(frozen=True, slots=True)
class Facts:
    """What inspection found in a content. What it could not find out is unknown (None), never guessed."""

    size: int
    detected_type: str
    width: int | None = None
    height: int | None = None
    frames: int | None = None
    unpacked: int | None = None
    """How many bytes an archive says it holds once it is unpacked."""

    def to_json(self) -> dict[str, Any]:
        """The facts that are known, but size and type."""
        found = asdict(self)
        return {name: value for name, value in found.items() if name not in ("size", "detected_type") and value}


@dataclass(frozen=True, slots=True)
class Slot:
    """A policy: what may be uploaded under its name, and how it is served.

    ``types`` are detected types, or patterns such as ``image/*`` and ``*/*``. Where ``most_pixels`` (of one frame),
    ``most_frames`` or ``most_unpacked`` (bytes of an archive) is set, content whose headers do not tell is refused.
    ``verdicts`` are the checks that must have found a content clean before it is served. ``recipes`` are the presets
    from which derivatives are made; with ``only_presets`` from no others. ``keep_versions`` and ``keep_days`` bound
    what is kept (None: for ever); ``retain_days`` is how long each version must be kept, by the store itself where it
    can (None: no such duty). ``public`` content has stable URLs for everybody; ``inline`` content may be shown in
    a page when its type is harmless.

    >>> avatar = Slot("avatar", types=("image/png", "image/jpeg"), largest=1 << 20, most_pixels=4_000_000)
    >>> refusal(avatar, Facts(900, "text/html"))
    'it is text/html, and the slot takes image/png, image/jpeg'
    """

    name: str
    types: tuple[str, ...] = ("*/*",)
    largest: int = 5 << 30
    most_pixels: int | None = None
    most_frames: int | None = None
    most_unpacked: int | None = None
    public: bool = False
    inline: bool = False
    verdicts: tuple[str, ...] = ()
    recipes: tuple[Recipe, ...] = ()
    only_presets: bool = True
    keep_versions: int | None = None
    keep_days: int | None = None
    retain_days: int | None = None

    def __post_init__(self) -> None:
        reason = _wrong(self)
        if reason is not None:
            raise InvalidSettings(setting="slots", reason=f"{self.name[:40]!r}: {reason}")

    def takes(self, detected: str) -> bool:
        """Whether content of this detected type may come in."""
        return any(pattern in ("*/*", detected, f"{detected.partition('/')[0]}/*") for pattern in self.types)

    def recipe(self, text: str) -> Recipe:
        """The recipe that is asked for, by the name of a preset or spelt out; `InvalidInput` when it is not allowed."""
        for preset in self.recipes:
            if text and text == preset.name:
                return preset
        if self.only_presets and "=" not in text:
            raise InvalidInput(field="recipe", reason=self._presets())
        asked = parsed_recipe(text)
        if self.only_presets and asked.digest not in {preset.digest for preset in self.recipes}:
            raise InvalidInput(field="recipe", reason=self._presets())
        return asked

    def _presets(self) -> str:
        known = ", ".join(preset.name or preset.text for preset in self.recipes) or "none"
        return f"the slot {self.name!r} makes presets only: {known}"


def _wrong(slot: Slot) -> str | None:
    """What keeps this from being a slot, if anything does."""
    if len(slot.name) > 40 or not _NAME.fullmatch(slot.name):
        return "a name is made of a-z, 0-9 and single - or _ between, up to 40 characters"
    listed: tuple[Any, ...] = (slot.types, slot.verdicts, slot.recipes)
    if not all(isinstance(one, tuple) for one in listed):  # a lone text would be taken letter by letter
        return "types, verdicts and recipes are tuples"
    wrong = [pattern for pattern in slot.types if not _PATTERN.fullmatch(pattern)]
    if wrong or not slot.types:
        return f"types are such as image/png, image/* or */*, not {', '.join(wrong) or 'none'}"
    if any(len(check) > 40 or not _NAME.fullmatch(check) for check in slot.verdicts):
        return "a check's name is made of a-z, 0-9 and single - or _ between, up to 40 characters"
    limits = (slot.largest, slot.most_pixels, slot.most_frames, slot.most_unpacked, slot.keep_versions, slot.keep_days,
              slot.retain_days)  # fmt: skip
    if any(limit is not None and limit < 1 for limit in limits):
        return "limits are above 0"
    names = [preset.name for preset in slot.recipes if preset.name]
    return "two presets have the same name" if len(set(names)) < len(names) else None


def refusal(slot: Slot, facts: Facts) -> str | None:
    """Why the slot does not take content with these facts; nothing when it does."""
    if facts.size > slot.largest:
        return f"it has {facts.size} bytes, and the slot takes {slot.largest}"
    if not slot.takes(facts.detected_type):
        what = "it is empty" if facts.size == 0 else f"it is {facts.detected_type}"
        return f"{what}, and the slot takes {', '.join(slot.types)}"
    if facts.detected_type.startswith("image/"):
        return _too_many_pixels(slot, facts)
    if slot.most_unpacked is not None and _packed(facts.detected_type):
        if facts.unpacked is None:
            return "its list of contents can't be read"
        if facts.unpacked > slot.most_unpacked:
            return f"it unpacks to {facts.unpacked} bytes, and the slot takes {slot.most_unpacked}"
    return None


def _too_many_pixels(slot: Slot, facts: Facts) -> str | None:
    if slot.most_pixels is not None:
        if not facts.width or not facts.height:
            return "its width and height can't be read"
        if facts.width * facts.height > slot.most_pixels:
            return f"it is {facts.width} x {facts.height} pixels, and the slot takes {slot.most_pixels} in all"
    if slot.most_frames is not None:
        if not facts.frames:
            return "its frames can't be counted"
        if facts.frames > slot.most_frames:
            return f"it has {facts.frames} frames or more, and the slot takes {slot.most_frames}"
    return None


def quarantine(required: Iterable[str], results: Mapping[str, str]) -> str | None:
    """Why content is not served, by what checks have found; nothing when it is.

    One check that found it bad is enough, whether the slot asks for it or not; one that is missing, too.

    >>> quarantine(["virus"], {}), quarantine([], {"virus": "bad"}), quarantine(["virus"], {"virus": "clean"})
    ('the check virus is not done', 'the check virus found it bad', None)
    """
    bad = sorted(check for check, result in results.items() if result == "bad")
    if bad:
        return f"the check {bad[0]} found it bad"
    waiting = sorted(check for check in required if results.get(check) != "clean")
    if not waiting:
        return None
    unsure = "could not tell" if waiting[0] in results else "is not done"
    return f"the check {waiting[0]} {unsure}"


def _packed(detected: str) -> bool:
    """Whether content of this type is a ZIP archive by another name."""
    return detected in ("application/zip", "application/epub+zip", "application/java-archive") or detected.startswith(
        ("application/vnd.openxmlformats-officedocument.", "application/vnd.oasis.opendocument.")
    )


_THUMBNAILS = (
    Recipe(name="small", width=160, height=160),
    Recipe(name="medium", width=480, height=480),
    Recipe(name="large", width=1200, height=1200),
    Recipe(name="tile", width=320, height=320, fit="fill", background="ffffff"),
)
_STRIPS = (
    Recipe(name="phone", width=640),
    Recipe(name="page", width=1280),
    Recipe(name="wide", width=2560),
)
BUILT_IN = (
    Slot("image", PICTURES, 20 * MIB, 50 * MEGAPIXEL, 500, public=True, inline=True, recipes=_THUMBNAILS),
    Slot("banner", PICTURES, 40 * MIB, 80 * MEGAPIXEL, 500, public=True, inline=True, recipes=_STRIPS),
    Slot("upload", (*PICTURES, *DOCUMENTS), 50 * MIB, 50 * MEGAPIXEL, 500, 1024 * MIB, recipes=_THUMBNAILS[:2]),
    Slot("file"),
)
"""The slots of every mall; a host's slot of the same name takes the place of one."""
