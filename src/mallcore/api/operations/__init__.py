"""Operations about the API itself: who uses which version of it."""

from mallcore.api.operations.usage import breakage, usage

__all__ = ["breakage", "usage"]
