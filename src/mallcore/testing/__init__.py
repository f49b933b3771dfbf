"""Fixtures, servers and contract kits for hosts and plug-in authors.

Importing this package is cheap: each module below is imported by the one who needs it, or when a name is first used.
Nothing in the rest of mallcore imports it, but `mallcore doctor`, which asks the kits.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mallcore.testing.changes import ChangeContract, check_change
    from mallcore.testing.edge import EdgeContract, check_edge
    from mallcore.testing.object_store import ObjectStoreContract, check_store
    from mallcore.testing.topology import TopologyContract, check_topology

__all__ = [
    "ChangeContract",
    "EdgeContract",
    "ObjectStoreContract",
    "TopologyContract",
    "check_change",
    "check_edge",
    "check_store",
    "check_topology",
]

_KITS = {
    "ChangeContract": "changes",
    "EdgeContract": "edge",
    "ObjectStoreContract": "object_store",
    "TopologyContract": "topology",
    "check_change": "changes",
    "check_edge": "edge",
    "check_store": "object_store",
    "check_topology": "topology",
}


def __getattr__(name: str) -> Any:
    if name in _KITS:
        return getattr(import_module(f"mallcore.testing.{_KITS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
