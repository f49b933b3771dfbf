"""Hook specifications of the audit trail: none yet; it is itself a listener to `event_recorded`."""
