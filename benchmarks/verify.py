"""The speed of ``am-gen verify``: configurations explored in a second.

An invariant over all states forbids every short cut of the search: the machine is one part, and no state
is a leaf. Compared are a limit, and the same search with the runtime's own machine, which is put into
each configuration and mutated there, in one process.

    python benchmarks/verify.py
"""

from __future__ import annotations

import time

from amgen.explore import explore
from amstates.rpc_client import RPC_CLIENT_SCHEMA
from amstates.supervisor import SUPERVISOR_SCHEMA
from asyncmachine.machine import Machine
from asyncmachine.schema import Invariant, Schema

LIMIT = 20_000  # configurations a second
EXPLORED = 40_000
TRIED = 30


def joined(schema: Schema) -> Schema:
    """The same with an invariant that names all states."""
    return Schema(
        schema.name,
        schema.states,
        groups=schema.groups,
        roles=schema.roles,
        invariants=[Invariant("never", schema.names)],
    )


def searched(schema: Schema) -> float:
    """Configurations a second of the explorer."""
    began = time.perf_counter()
    result = explore(schema, max_configurations=EXPLORED)
    return result.explored / (time.perf_counter() - began)


def tried_out(schema: Schema) -> float:
    """The same of a search that asks a machine, over the first of them."""
    found: list[tuple[str, ...]] = [()]
    seen = {frozenset[str]()}
    began = time.perf_counter()
    for tried, active in enumerate(found):  # grows while it is walked
        if tried == TRIED:
            break
        for name in schema.names:
            for verb in ("add", "remove"):
                machine = Machine(schema)
                machine.set(*active)
                getattr(machine, verb)(name)
                after = machine.active_states()
                if frozenset(after) not in seen:
                    seen.add(frozenset(after))
                    found.append(after)
    return TRIED / (time.perf_counter() - began)


def main() -> None:
    """Print a line for each machine."""
    for schema in (RPC_CLIENT_SCHEMA, SUPERVISOR_SCHEMA):
        whole = joined(schema)
        ours = max(searched(whole) for _ in range(3))
        theirs = max(tried_out(whole) for _ in range(3))
        print(
            f"verify {schema.name}, {len(schema)} states in one part: {ours:8,.0f} configurations/s   "
            f"with a machine {theirs:6,.0f}/s {ours / theirs:6.1f} x faster (limit: at least {LIMIT:,}/s, "
            f"{ours / LIMIT:.1f} x)"
        )


if __name__ == "__main__":
    main()
