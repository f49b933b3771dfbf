"""Operations of the audit log: writing, sequencing, checkpoints, proofs, verification, erasure, ingestion."""
