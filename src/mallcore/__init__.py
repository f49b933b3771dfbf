"""mallcore: the backend core of a shopping mall, as a library a host application embeds."""

from mallcore import access, audit, errors, structure
from mallcore.errors import MallError
from mallcore.kernel.context import Context, Principal
from mallcore.kernel.hooks import hookimpl
from mallcore.kernel.operations import operation
from mallcore.mall import Mall

__version__ = "0.1.0"

__all__ = [
    "Context",
    "Mall",
    "MallError",
    "Principal",
    "access",
    "audit",
    "errors",
    "hookimpl",
    "operation",
    "structure",
]
