"""Hook specifications of the API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mallcore.kernel.hooks import hookspec

if TYPE_CHECKING:
    from mallcore.api.model import Concerned
    from mallcore.api.versions import Release
    from mallcore.kernel.context import Context


class ApiHooks:
    """The hooks of the API."""

    @hookspec
    def version_deprecated(self, ctx: Context, release: Release, clients: Sequence[Concerned]) -> None:
        """Tell: a version of the API is deprecated from now on, and who has used it of late: a host can write to them.

        It is told once in the life of a mall, by one of its processes. Where a listener raises, it is told again.
        """
