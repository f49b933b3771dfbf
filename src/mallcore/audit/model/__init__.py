"""Tables and shapes of the audit log."""
