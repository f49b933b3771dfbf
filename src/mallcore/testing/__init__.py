"""Fixtures, servers and contract kits for hosts and plug-in authors.

Importing this package is cheap: each module below is imported by the one who needs it, or when a name is first used.
Nothing in the rest of mallcore imports it.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mallcore.testing.object_store import ObjectStoreContract, check_store
    from mallcore.testing.topology import TopologyContract, check_topology

__all__ = ["ObjectStoreContract", "TopologyContract", "check_store", "check_topology"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from mallcore.testing import object_store, topology

        return getattr(topology, name, None) or getattr(object_store, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
