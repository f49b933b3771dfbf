"""Fixtures, servers and contract kits for hosts and plug-in authors.

Importing this package is cheap: each module below is imported by the one who needs it.
Nothing in the rest of mallcore imports it.
"""
