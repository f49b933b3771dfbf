"""One API in many dated versions: business logic knows the newest only, what is older is declared as changes."""

from mallcore.api.versions.view import Convert, Face, View

__all__ = ["Convert", "Face", "View"]
