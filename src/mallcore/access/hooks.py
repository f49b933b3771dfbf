"""Hook specifications of access: none yet. A host replaces the whole decision by a `Policy` of its own."""
