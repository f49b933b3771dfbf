"""Pure rules of the audit log: what a record is made of, its tree and proofs, checkpoints, and logs of edges."""
