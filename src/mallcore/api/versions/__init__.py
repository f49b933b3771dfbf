"""One API in many dated versions: business logic knows the newest only, everything older is declared as changes to it."""

from mallcore.api.versions.view import Convert, Face, View

__all__ = ["Convert", "Face", "View"]
