"""Hooks of attachments."""
