"""Plug-ins we ship: each fills a slot of the mall, and could live in another repository."""
