"""Who may do what: roles are sets of permissions, a grant gives a principal a role somewhere.

A grant's scope is the mall, a unit, a channel, or a subtree of a channel. Nothing is allowed that was not granted.
Checks are answered from memory; a change of roles or grants reaches every process over the bus.
The mall's keys, and the ends of its principals' sessions, are managed here too.
"""

from mallcore.access.operations.grants import (
    TOPIC,
    GrantGiven,
    Grants,
    GrantTaken,
    Places,
    RoleSet,
    grant,
    list_grants,
    list_roles,
    look,
    my_permissions,
    remove_role,
    revoke,
    set_role,
)
from mallcore.access.operations.keys import KeyRevoked, KeyRotated, list_keys, revoke_key, rotate_key
from mallcore.access.operations.sessions import Sessions, SessionsClosed, end_sessions

__all__ = [
    "TOPIC",
    "GrantGiven",
    "GrantTaken",
    "Grants",
    "KeyRevoked",
    "KeyRotated",
    "Places",
    "RoleSet",
    "Sessions",
    "SessionsClosed",
    "end_sessions",
    "grant",
    "list_grants",
    "list_keys",
    "list_roles",
    "look",
    "my_permissions",
    "remove_role",
    "revoke",
    "revoke_key",
    "rotate_key",
    "set_role",
]
