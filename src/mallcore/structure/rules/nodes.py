"""The node: one channel root, section or category, as an immutable value.

A named tuple rather than a dataclass: a million of them load in seconds, straight from database rows.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from mallcore.errors import InvalidInput, LimitExceeded
from mallcore.structure.rules.merchandising import Rule

EMPTY: Mapping[str, Any] = MappingProxyType({})
KINDS = ("channel", "section", "category")
GAP = 1 << 20  # distance between new siblings, so that 20 insertions fit between two before they are numbered anew

MAX_NAME = 200
MAX_SLUG = 100
MAX_DEPTH = 64
MAX_LOCALES = 100
MAX_ATTRIBUTES = 200
MAX_ATTRIBUTE_NESTING = 16
MAX_TEXT = 20_000
MAX_RULES = 200

_SLUG = re.compile(r"[a-z0-9]+(?:[-_.][a-z0-9]+)*")
_LOCALE = re.compile(r"[a-zA-Z]{2,8}(?:[-_][a-zA-Z0-9]{1,8})*")
_NOT_SLUG = re.compile(r"[^a-z0-9]+")


class Node(NamedTuple):
    """A place in the tree. ``position`` orders siblings; ``external_id`` is what an imported source calls it."""

    id: str
    kind: str
    parent_id: str | None
    position: int
    slug: str
    name: str
    external_id: str | None = None
    translations: Mapping[str, str] = EMPTY
    attributes: Mapping[str, Any] = EMPTY
    rules: tuple[Rule, ...] = ()

    def name_in(self, locale: str | None) -> str:
        """The name in a locale, in its language, or the default name.

        >>> Node("cat_1", "category", None, 0, "toys", "Toys", None, {"fr": "Jouets"}).name_in("fr-CA")
        'Jouets'
        """
        if locale is None or not self.translations:
            return self.name
        language = locale.replace("_", "-").split("-", 1)[0]
        return self.translations.get(locale) or self.translations.get(language) or self.name


FIELDS = Node._fields[1:]


def freeze(value: Any) -> Any:
    """A JSON value nobody can change: mappings become read-only, lists become tuples."""
    if isinstance(value, Mapping):
        return MappingProxyType({key: freeze(inner) for key, inner in value.items()}) if value else EMPTY
    if isinstance(value, (list, tuple)):
        return tuple(freeze(inner) for inner in value)
    return value


def thaw(value: Any) -> Any:
    """The plain JSON value of a frozen one."""
    if isinstance(value, Mapping):
        return {key: thaw(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [thaw(inner) for inner in value]
    return value


def alike(one: Any, other: Any) -> bool:
    """Whether two nodes, or parts of them, are the same as JSON: to Python ``True`` equals 1.

    >>> alike({"sale": 1}, {"sale": 1}), alike({"sale": 1}, {"sale": True})
    (True, False)
    """
    return one is other or (one == other and _same_truths(one, other))


def _same_truths(one: Any, other: Any) -> bool:
    if isinstance(one, Mapping):
        return all(_same_truths(inner, other[key]) for key, inner in one.items())
    if isinstance(one, (list, tuple)):
        return all(map(_same_truths, one, other))
    return isinstance(one, bool) == isinstance(other, bool)


def slugify(name: str) -> str:
    """A slug from a name; names without a Latin letter or digit give ``node``.

    >>> slugify("Food & Water Dishes"), slugify("Crème brûlée"), slugify("玩具")
    ('food-water-dishes', 'creme-brulee', 'node')
    """
    if not name.isascii():
        name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return _NOT_SLUG.sub("-", name.lower()).strip("-")[:MAX_SLUG].rstrip("-") or "node"


def checked_name(name: str, field: str = "name") -> str:
    """The name, trimmed; refuses what nobody could read or store."""
    if len(name) > MAX_NAME:
        raise LimitExceeded(what=f"the length of the {field}", actual=len(name), limit=MAX_NAME)
    name = name.strip()
    if not name:
        raise InvalidInput(field=field, reason="it is empty")
    if not name.isprintable() and any(unicodedata.category(char) in {"Cc", "Cs", "Co", "Cn"} for char in name):
        raise InvalidInput(field=field, reason="it has control characters or code points that are no characters")
    return name


def checked_slug(slug: str) -> str:
    """The slug, if it is one: lower-case letters, digits, and single ``-``, ``_`` or ``.`` between them."""
    if len(slug) > MAX_SLUG:
        raise LimitExceeded(what="the length of the slug", actual=len(slug), limit=MAX_SLUG)
    if not _SLUG.fullmatch(slug):
        raise InvalidInput(field="slug", reason=f"{slug!r} has other than a-z, 0-9 and single - _ . between them")
    return slug


def checked_locale(locale: str) -> str:
    """The locale, if it looks like a BCP 47 tag."""
    if len(locale) > 35 or not _LOCALE.fullmatch(locale):
        raise InvalidInput(field="locale", reason=f"{locale[:40]!r} is no language tag such as 'fr' or 'pt-BR'")
    return locale


def checked_translations(translations: Mapping[str, str]) -> Mapping[str, str]:
    """The names by locale, each of them checked."""
    if len(translations) > MAX_LOCALES:
        raise LimitExceeded(what="the number of translations", actual=len(translations), limit=MAX_LOCALES)
    if not translations:
        return EMPTY
    return MappingProxyType(
        {checked_locale(locale): checked_name(name, f"name in {locale}") for locale, name in translations.items()}
    )


def checked_attributes(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """The attributes as a frozen JSON value; refuses what is no JSON, too deep or too long."""
    if not attributes:
        return EMPTY
    if len(attributes) > MAX_ATTRIBUTES:
        raise LimitExceeded(what="the number of attributes", actual=len(attributes), limit=MAX_ATTRIBUTES)
    budget = [MAX_TEXT]
    _check_json(attributes, MAX_ATTRIBUTE_NESTING, budget)
    frozen: Mapping[str, Any] = freeze(attributes)
    return frozen


def _check_json(value: Any, levels: int, budget: list[int]) -> None:
    if levels < 0:
        raise LimitExceeded(
            what="the nesting of the attributes", actual=MAX_ATTRIBUTE_NESTING + 1, limit=MAX_ATTRIBUTE_NESTING
        )
    budget[0] -= len(value) if isinstance(value, str) else 8
    if budget[0] < 0:
        raise LimitExceeded(what="the size of the attributes", actual=MAX_TEXT - budget[0], limit=MAX_TEXT)
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise InvalidInput(field="attributes", reason=f"the key {key!r} is no text")
            _check_json(key, levels, budget)
            _check_json(inner, levels - 1, budget)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            _check_json(inner, levels - 1, budget)
    else:
        _check_scalar(value)


def _check_scalar(value: Any) -> None:
    if isinstance(value, str):
        if "\x00" in value or not _encodable(value):
            raise InvalidInput(field="attributes", reason="a text has a NUL or a lone surrogate")
    elif isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise InvalidInput(field="attributes", reason="a number is not finite")
    elif isinstance(value, int) and not isinstance(value, bool):
        if abs(value) > 2**63 - 1:
            raise InvalidInput(field="attributes", reason="a whole number is beyond 64 bits")
    elif not (value is None or isinstance(value, bool)):
        raise InvalidInput(field="attributes", reason=f"a {type(value).__name__} is no JSON value")


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
