"""Operations about the API itself: its versions and what differs between them, and who uses which."""

from mallcore.api.operations.usage import breakage, usage
from mallcore.api.operations.versions import diff_versions, get_version, list_versions, notes, schema

__all__ = ["breakage", "diff_versions", "get_version", "list_versions", "notes", "schema", "usage"]
