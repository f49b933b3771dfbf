"""Hook specifications of the structure: none yet. Whoever wants to know of changes listens to the kernel's events."""
