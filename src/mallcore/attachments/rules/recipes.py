"""Recipes: what is made of a picture, in one spelling, so that equal recipes are one recipe.

A recipe is written ``w=200,h=200,fit=cover,format=webp``. Its digest names what was made; defaults do not count.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any, Literal, get_args

from mallcore.errors import InvalidInput

Fit = Literal["contain", "cover", "fill"]
Format = Literal["webp", "jpeg", "png", "avif"]
LARGEST_SIDE = 4096
LONGEST = 200  # of a recipe's text
_KEYS = {"w": "width", "h": "height", "fit": "fit", "format": "format", "q": "quality", "bg": "background"}
_COLOUR = re.compile(r"[0-9a-f]{6}")
_NAME = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*")
_NUMBER = re.compile(r"[1-9][0-9]{0,4}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a picture is made of another one. Metadata is never taken over, and only the first frame is.

    ``contain``: as large as fits into the box, never enlarged. ``cover``: the box is filled, what juts out is cut off
    on both sides. ``fill``: like ``contain``, and the rest of the box shows the background. ``name`` is what a preset
    is asked for by; it does not change the recipe.

    >>> Recipe(name="tile", width=200, height=200, fit="cover").text
    'w=200,h=200,fit=cover,format=webp'
    """

    name: str = ""
    width: int | None = None
    height: int | None = None
    fit: Fit = "contain"
    format: Format = "webp"
    quality: int = 80
    background: str | None = None

    def __post_init__(self) -> None:
        reason = _wrong(self)
        if reason is not None:
            raise InvalidInput(field="recipe", reason=reason)

    @property
    def text(self) -> str:
        """The recipe in its one spelling."""
        plain = Recipe()
        said = {short: getattr(self, long) for short, long in _KEYS.items()}
        return ",".join(
            f"{short}={value}"
            for short, value in said.items()
            if short == "format" or value != getattr(plain, _KEYS[short])
        )

    @property
    def digest(self) -> str:
        """SHA-256 of what the recipe says, in hex: its name in rows and keys."""
        return hashlib.sha256(b"recipe-1:" + self.text.encode()).hexdigest()

    @property
    def content_type(self) -> str:
        """The media type of what comes of it."""
        return f"image/{self.format}"

    def to_json(self) -> dict[str, Any]:
        """The recipe as JSON, without its name."""
        return {long: getattr(self, long) for long in _KEYS.values() if getattr(self, long) is not None}


def _wrong(recipe: Recipe) -> str | None:
    """What keeps this from being a recipe, if anything does."""
    for side in (recipe.width, recipe.height):
        if side is not None and not 1 <= side <= LARGEST_SIDE:
            return f"a side is 1 to {LARGEST_SIDE} pixels long"
    if recipe.fit not in get_args(Fit) or recipe.format not in get_args(Format):
        return f"fit is one of {', '.join(get_args(Fit))}, format one of {', '.join(get_args(Format))}"
    if recipe.fit != "contain" and None in (recipe.width, recipe.height):
        return f"fit={recipe.fit} needs both w and h"
    if not 1 <= recipe.quality <= 100:
        return "q is 1 to 100"
    if recipe.background is not None and not _COLOUR.fullmatch(recipe.background):
        return "bg is a colour such as ffffff"
    if recipe.name and (len(recipe.name) > 40 or not _NAME.fullmatch(recipe.name)):
        return "a preset's name is made of a-z, 0-9 and single - or _ between, up to 40 characters"
    return None


def parsed_recipe(text: str) -> Recipe:
    """The recipe that a text spells, in any order of its parts; `InvalidInput` for whatever is not quite one.

    >>> parsed_recipe("format=webp,h=200,w=200,fit=cover").text
    'w=200,h=200,fit=cover,format=webp'
    """
    if len(text) > LONGEST:
        raise InvalidInput(field="recipe", reason=f"it is longer than {LONGEST} characters")
    said: dict[str, Any] = {}
    for part in text.split(","):
        short, separator, value = part.partition("=")
        if short not in _KEYS or not separator or _KEYS[short] in said:
            reason = f"{part[:40]!r} is unknown or said twice: a recipe is such as w=200,h=200,fit=cover,format=webp"
            raise InvalidInput(field="recipe", reason=reason)
        said[_KEYS[short]] = _number(part, value) if short in ("w", "h", "q") else value.lower()
    return Recipe(**said)


def _number(part: str, value: str) -> int:
    if not _NUMBER.fullmatch(value):
        raise InvalidInput(field="recipe", reason=f"{part[:40]!r} needs a whole number above 0")
    return int(value)
