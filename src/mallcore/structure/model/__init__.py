"""Tables and shapes of the structure."""
