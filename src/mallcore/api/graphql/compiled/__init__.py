"""Selections that only read data, compiled to Python functions; everything else is done by graphql-core's executor.

`execute` runs an operation like `graphql.execute_sync`, with equal results: below any field that has a resolver, a
selection whose fields are all plain data is completed by a generated function. Where such a function meets anything
that it isn't certain of, an error included, it gives up, and the executor completes that selection: errors, paths and
nulls are then the executor's own. `Reads` is the resolver of a field that stands under another name in the data.
"""

from mallcore.api.graphql.compiled.executor import CompilingExecutor, Late, execute
from mallcore.api.graphql.compiled.plans import Plan, plan
from mallcore.api.graphql.compiled.values import Doubt, Reads

__all__ = ["CompilingExecutor", "Doubt", "Late", "Plan", "Reads", "execute", "plan"]
