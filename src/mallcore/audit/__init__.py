"""The audit trail, first form: every change and every refusal, written in the transaction of what it records.

Who, what, before and after, which revision, when, in which request. Records are only ever added. (The tamper-evident
log that will stand on these rows has its place in `hooks`.)
"""

from mallcore.audit.operations import Trail, list_records

__all__ = ["Trail", "list_records"]
