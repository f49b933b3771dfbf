"""The page that browsers get from a server for development: write a document, send it, look at the answer."""

from __future__ import annotations

PAGE = b"""<!doctype html>
<title>GraphQL</title>
"""
