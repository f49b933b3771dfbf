"""Pure rules of access: the roles that are there from the start, patterns of permissions, scopes of grants."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from mallcore.errors import InvalidInput

Scope = Literal["mall", "unit", "channel", "subtree"]

BUILT_IN: Mapping[str, tuple[str, ...]] = {
    "owner": ("*",),
    "editor": ("structure.read", "structure.history", "structure.edit", "structure.draft", "structure.publish",
               "structure.snapshot", "attachments.read", "attachments.write", "attachments.link"),
    "author": ("structure.read", "structure.history", "structure.draft", "attachments.read"),
    "auditor": ("structure.read", "structure.history", "audit.read", "access.read"),
    "visitor": ("structure.read",),
}  # fmt: skip

_PERMISSION = re.compile(r"\*|[a-z_]+\.(?:\*|[a-z_]+)")
_ROLE = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
_PRINCIPAL = re.compile(r"(user|client|plugin|anonymous):[^\x00-\x1f\x7f]{1,180}")


class Held(NamedTuple):
    """One grant as access decisions need it."""

    permissions: frozenset[str]
    scope: str
    scope_id: str | None


def allows(permissions: Iterable[str], wanted: str) -> bool:
    """Whether a set of permissions, which may hold ``*`` and ``structure.*``, includes one.

    >>> allows({"structure.*"}, "structure.edit"), allows({"audit.read"}, "structure.edit")
    (True, False)
    """
    return wanted in permissions or "*" in permissions or f"{wanted.split('.', 1)[0]}.*" in permissions


def checked_permissions(
    permissions: Iterable[str], known: Iterable[str], field: str = "permissions"
) -> tuple[str, ...]:
    """The permissions, sorted; refuses one that no operation of this mall asks for: it is misspelt."""
    names = set(known)
    domains = {f"{name.split('.', 1)[0]}.*" for name in names} | {"*"}
    for permission in permissions:
        if not _PERMISSION.fullmatch(permission) or permission not in names | domains:
            raise InvalidInput(field=field, reason=f"no operation asks for {permission[:80]!r}")
    return tuple(sorted(set(permissions)))


def checked_role(name: str) -> str:
    """The role's name, if it may be set: built-in roles stay as they are."""
    if name in BUILT_IN:
        raise InvalidInput(field="role", reason=f"{name!r} is built in; define a role of your own")
    if not _ROLE.fullmatch(name):
        raise InvalidInput(field="role", reason="it begins with a letter and has only a-z, 0-9 and single - _ between")
    return name


def checked_principal(ref: str) -> str:
    """``kind:id`` of a principal that can hold grants."""
    if not _PRINCIPAL.fullmatch(ref):
        raise InvalidInput(field="principal", reason="write it as user:…, client:…, plugin:… or anonymous:*")
    return ref


def checked_scope(scope: str, unit: str | None, channel: str | None, node: str | None) -> None:
    """Refuse a scope whose parts do not fit it."""
    given = {name for name, value in (("unit", unit), ("channel", channel), ("node", node)) if value is not None}
    needed = {"mall": set(), "unit": {"unit"}, "channel": {"channel"}, "subtree": {"channel", "node"}}[scope]
    if given != needed:
        names = " and ".join(sorted(needed)) or "neither unit nor channel nor node"
        raise InvalidInput(field="scope", reason=f"a grant on a {scope} names {names}")
