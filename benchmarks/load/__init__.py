"""Loads over HTTP: servers in processes of their own, and clients that never pause."""
