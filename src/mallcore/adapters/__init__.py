"""Thin faces of a mall, one for each kind of guest: they own life cycle and translation, nothing else."""
