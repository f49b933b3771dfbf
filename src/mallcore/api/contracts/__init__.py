"""The guard of the API: contracts of its versions, golden files of them, and notes on what changed between two."""

from mallcore.api.contracts.contract import Contract, EventShapes, contract_of, dumped
from mallcore.api.contracts.golden import OURS, Checked, Report, check, golden, of_host, ours
from mallcore.api.rules.differing import Difference, differences

__all__ = [
    "OURS",
    "Checked",
    "Contract",
    "Difference",
    "EventShapes",
    "Report",
    "check",
    "contract_of",
    "differences",
    "dumped",
    "golden",
    "of_host",
    "ours",
]
