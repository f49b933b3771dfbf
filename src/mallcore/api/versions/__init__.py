"""One API in many dated versions: business logic knows the newest only, what is older is declared as changes."""

from mallcore.api.versions.changes import Change
from mallcore.api.versions.releases import Release, State, Versions
from mallcore.api.versions.view import Convert, Face, View
from mallcore.api.versions.words import field, fields, operation

__all__ = ["Change", "Convert", "Face", "Release", "State", "Versions", "View", "field", "fields", "operation"]
