"""Who may do what: roles are sets of permissions, a grant gives a principal a role somewhere.

A grant's scope is the mall, a unit, a channel, or a subtree of a channel. Nothing is allowed that was not granted.
Checks are answered from memory; a change of roles or grants reaches every process over the bus.
"""

from mallcore.access.operations import (
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

__all__ = [
    "TOPIC",
    "GrantGiven",
    "GrantTaken",
    "Grants",
    "Places",
    "RoleSet",
    "grant",
    "list_grants",
    "list_roles",
    "look",
    "my_permissions",
    "remove_role",
    "revoke",
    "set_role",
]
