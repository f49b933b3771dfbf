"""Fixtures, servers and contract kits for hosts and plug-in authors.

Importing this package is cheap: each module below is imported by the one who needs it, or when a name is first used.
Nothing in the rest of mallcore imports it.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mallcore.testing.topology import TopologyContract, check_topology

__all__ = ["TopologyContract", "check_topology"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from mallcore.testing import topology

        return getattr(topology, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
