"""Everything one can do with the structure."""
