"""One API in many dated versions: business logic knows the newest only, what is older is declared as changes."""

from mallcore.api.versions.releases import Release, State, Versions
from mallcore.api.versions.view import Convert, Face, View

__all__ = ["Convert", "Face", "Release", "State", "Versions", "View"]
