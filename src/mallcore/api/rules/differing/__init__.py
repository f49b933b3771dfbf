"""The differ: what differs between two contracts, and whom it breaks.

A contract is plain data (see `mallcore.api.contracts`). What a request may bring is compared the other way round than
what a response may hold: what is harmless in one hurts in the other.
"""

from mallcore.api.rules.differing.catalogue import LEVELS, RULES, Difference, Level, Rule, breaking, worst
from mallcore.api.rules.differing.operations import differences
from mallcore.api.rules.differing.schemas import Comparing

__all__ = ["LEVELS", "RULES", "Comparing", "Difference", "Level", "Rule", "breaking", "differences", "worst"]
