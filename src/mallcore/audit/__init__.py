"""The audit log: every change, decision and refusal, written in the transaction of what it records, for good.

Who, what, before and after, which revision, when, in which request. Records enter one Merkle tree (RFC 6962), whose
signed checkpoints are kept in a second store: nobody can change, drop or reorder a record unseen. Names of persons are
sealed under keys of their own, so that they can be forgotten while every proof still holds.
"""

from mallcore.audit.operations.checkpoints import checkpoint, keep_log, list_checkpoints, verification_keys
from mallcore.audit.operations.erasing import SubjectErased, erase_subject
from mallcore.audit.operations.ingesting import LogIngested, ingest
from mallcore.audit.operations.proving import consistency, export, prove
from mallcore.audit.operations.reading import get_record, list_records
from mallcore.audit.operations.sequencing import sequence
from mallcore.audit.operations.subjects import TOPIC, Subjects, look
from mallcore.audit.operations.trail import Trail
from mallcore.audit.operations.verifying import check_file, check_proof, verify

__all__ = [
    "TOPIC",
    "LogIngested",
    "SubjectErased",
    "Subjects",
    "Trail",
    "check_file",
    "check_proof",
    "checkpoint",
    "consistency",
    "erase_subject",
    "export",
    "get_record",
    "ingest",
    "keep_log",
    "list_checkpoints",
    "list_records",
    "look",
    "prove",
    "sequence",
    "verification_keys",
    "verify",
]
