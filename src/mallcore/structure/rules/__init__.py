"""Pure decisions and values of the structure: no database, no clock, no I/O."""
