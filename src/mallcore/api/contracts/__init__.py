"""The guard of the API: contracts of its versions, golden files of them, and notes on what changed between two."""

from mallcore.api.contracts.contract import Contract, EventShapes, contract_of, dumped
from mallcore.api.contracts.golden import OURS, Checked, Report, check, golden, guard, of_host, ours
from mallcore.api.contracts.notes import notes
from mallcore.api.rules.differing import Difference, breaking, differences
from mallcore.api.rules.noting import MEDIA_TYPES, Notes, rendered

__all__ = [
    "MEDIA_TYPES",
    "OURS",
    "Checked",
    "Contract",
    "Difference",
    "EventShapes",
    "Notes",
    "Report",
    "breaking",
    "check",
    "contract_of",
    "differences",
    "dumped",
    "golden",
    "guard",
    "notes",
    "of_host",
    "ours",
    "rendered",
]
