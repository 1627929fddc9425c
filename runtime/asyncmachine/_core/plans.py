"""The plan cache: every resolution is done once.

Resolution depends only on the configuration (the ordered active states) and the mutation. So a
configuration is interned as a :class:`Node`, and each node remembers, per mutation, a :class:`Plan`
with everything that does not depend on time or handlers. This is a lazily built automaton, as
regular-expression engines use. It is shared by all machines of a schema and bounded: when
it is full it is emptied and counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import cast

from asyncmachine._core.mutation import ADD, HEALTH_STATES, KIND_NAMES, REMOVE, Kind
from asyncmachine._core.relations import Resolver, Target, mask_of
from asyncmachine._core.waits import Waits
from asyncmachine.errors import UnknownState
from asyncmachine.schema import EXCEPTION, Schema, iter_bits, snake_case

__all__ = ["MAX_EDGES", "Node", "Plan", "PlanCache", "plan_cache"]

MAX_EDGES = 10_000


class Node:
    """One configuration: the active states, in their order.

    Attributes:
        edges: per kind of mutation, names as called -> plan.
        inner: per kind of mutation, called indexes -> plan; apart, so that no name a caller may
            give can be mistaken for such a key. Partial plans are at ``(called indexes, banned mask)``.
        auto: plan of the auto mutation that follows when this node is entered; None when no auto
            state is eligible. ``auto_known`` tells whether it was computed.
    """

    __slots__ = ("active", "auto", "auto_known", "edges", "inner", "mask")

    def __init__(self, active: tuple[int, ...]) -> None:
        self.active = active
        self.mask = mask_of(active)
        self.edges: tuple[dict[object, Plan], dict[object, Plan], dict[object, Plan]] = ({}, {}, {})
        self.inner: tuple[dict[object, Plan], dict[object, Plan], dict[object, Plan]] = ({}, {}, {})
        self.auto: Plan | None = None
        self.auto_known = False

    def forget(self) -> None:
        """Drop all plans. They are rebuilt when they are needed."""
        for edges in (*self.edges, *self.inner):
            edges.clear()
        self.auto, self.auto_known = None, False


class Plan:
    """What a mutation does to a configuration.

    Attributes:
        accepted: by relations; handlers may still veto.
        ticks: ``(index, increment)`` of each state that moves.
        enters, exits: states whose handlers run, in order. A called active Multi state enters.
        moved, touched: enters and exits, in index order and as a mask.
        involved: mask of all states active before or after, whose pair and self handlers run; and the bit
            *every* of the cache.
        changed: whether any tick moves.
        may_auto: whether an auto mutation may follow: some state is auto, and this is not one itself.
        auto: it is the plan of an auto mutation.
    """

    __slots__ = (
        "accepted",
        "auto",
        "called",
        "changed",
        "enters",
        "exits",
        "involved",
        "kind",
        "may_auto",
        "moved",
        "node",
        "rejected",
        "source",
        "target",
        "ticks",
        "touched",
    )

    def __init__(self, kind: Kind, called: tuple[int, ...], source: Node, target: Node, every: int) -> None:
        self.kind: Kind = kind
        self.called = called
        self.source = source  # the node this plan starts from
        self.node = target  # the node it leads to, if nobody vetoes
        self.target = target.active
        self.accepted = True
        self.auto = False
        self.rejected: tuple[int, ...] = ()
        self.ticks: tuple[tuple[int, int], ...] = ()
        self.enters: tuple[int, ...] = ()
        self.exits: tuple[int, ...] = ()
        self.moved: tuple[int, ...] = ()
        self.touched = 0
        self.involved = source.mask | target.mask | every
        self.changed = False
        self.may_auto = False


class PlanCache:
    """All nodes and plans of one schema.

    Attributes:
        flushes: how often the cache was full and emptied.
        indexes: what :meth:`called` has answered.
        size: number of states.
        no_waits: those of machines for which nobody has ever waited. Never changed.
        every: a bit above those of the states, which every plan involves: who looks at all plans looks at it.
    """

    def __init__(self, schema: Schema, max_edges: int = MAX_EDGES) -> None:
        self.schema = schema
        self.resolver = Resolver(schema)
        self.max_edges = max_edges
        self.edges = 0
        self.flushes = 0
        self._nodes: dict[tuple[int, ...], Node] = {}
        self._holders: dict[Node, None] = {}  # nodes with plans
        self.indexes: dict[tuple[object, ...], tuple[int, ...]] = {}
        self._health = mask_of(i for n, i in schema.index.items() if n in HEALTH_STATES)
        self.exception = schema.index[EXCEPTION]
        self.size = len(schema)
        self.every = 1 << self.size
        self.no_waits = Waits(schema)

    @cached_property
    def snakes(self) -> dict[str, int]:
        """Names of the states in snake_case, as in names of handlers, to their indexes."""
        return {snake_case(n): i for n, i in self.schema.index.items()}

    @cached_property
    def id_prefix(self) -> str:
        """What the default ids of the schema's machines begin with."""
        return f"{snake_case(self.schema.name)}-"

    def node(self, active: tuple[int, ...]) -> Node:
        """The node of this configuration."""
        node = self._nodes.get(active)
        if node is None:
            node = self._nodes[active] = Node(active)
        return node

    def plan(self, node: Node, kind: Kind, states: tuple[object, ...]) -> Plan:
        """The plan of a mutation called as ``add(*states)``: names, or lists of names.

        Raises:
            UnknownState: a name that the schema does not have.
        """
        called = self.called(states)
        key = tuple(self.schema.names[i] for i in called)
        plan = node.edges[kind].get(key)
        if plan is None:
            plan = self.plan_called(node, kind, called)
            self._remember(node, node.edges[kind], key, plan)
        if states != key and all(type(s) is str for s in states):
            self._remember(node, node.edges[kind], states, plan)  # called with duplicates: same plan
        return plan

    def plan_called(self, node: Node, kind: Kind, called: tuple[int, ...]) -> Plan:
        """The plan of a mutation of these indexes."""
        plan = node.inner[kind].get(called)
        if plan is None:
            plan = self.build(node, kind, called)
            self._remember(node, node.inner[kind], called, plan)
        return plan

    def partial_plan(self, node: Node, called: tuple[int, ...], banned: int) -> Plan:
        """The plan of an auto mutation of which the states *banned* (a mask) were vetoed."""
        key = (called, banned)
        plan = node.inner[ADD].get(key)
        if plan is None:
            plan = self.build(node, ADD, called, auto=True, banned=banned)
            self._remember(node, node.inner[ADD], key, plan)
        return plan

    def _remember(self, node: Node, edges: dict[object, Plan], key: object, plan: Plan) -> None:
        self._count(node)
        edges[key] = plan

    def _count(self, node: Node) -> None:
        if self.edges >= self.max_edges:
            for (
                old
            ) in self._holders:  # not just the interned ones: a machine may still stand on an older node
                old.forget()
            self._nodes = {node.active: node}
            self._holders = {}
            self.edges = 0
            self.flushes += 1
        self._holders[node] = None
        self.edges += 1

    def called(self, states: Sequence[object]) -> tuple[int, ...]:
        """Indexes of the named states, flattened, without duplicates."""
        key = tuple(states)
        try:
            known = self.indexes.get(key)
        except TypeError:  # lists of names
            return self._indexes(states)
        if known is None:
            known = self._indexes(states)
            if all(type(s) is str for s in key):
                if len(self.indexes) >= self.max_edges:
                    self.indexes.clear()
                self.indexes[key] = known
        return known

    def _indexes(self, states: Sequence[object]) -> tuple[int, ...]:
        found: dict[int, None] = {}
        index = self.schema.index
        for item in states:
            for name in (item,) if isinstance(item, str) else _names(item, self.schema):
                try:
                    found[index[name]] = None
                except KeyError:
                    raise UnknownState(name, self.schema.name, self.schema.names) from None
        return tuple(found)

    def build(
        self, node: Node, kind: Kind, called: tuple[int, ...], *, auto: bool = False, banned: int = 0
    ) -> Plan:
        """Resolve and lay out a plan, without remembering it."""
        target = self.resolver.resolve(node.active, called, kind, auto=auto, banned=banned)
        if not target.accepted:
            plan = Plan(kind, called, node, node, self.every)
            plan.accepted = False
            plan.rejected = target.rejected
            return plan
        return self._lay_out(node, kind, called, target, auto=auto)

    def _lay_out(
        self, node: Node, kind: Kind, called: tuple[int, ...], target: Target, *, auto: bool
    ) -> Plan:
        after = self.node(target.states)
        plan = Plan(kind, called, node, after, self.every)
        plan.auto = auto
        plan.rejected = target.rejected
        again = self.schema.masks.multi & node.mask & after.mask
        again = again & mask_of(called) if kind != REMOVE else 0
        plan.exits = self.resolver.order([i for i in node.active if not after.mask >> i & 1])
        plan.enters = tuple(i for i in after.active if not node.mask >> i & 1 or again >> i & 1)
        flips = node.mask ^ after.mask
        plan.touched = flips | again
        plan.moved = tuple(iter_bits(plan.touched))
        plan.ticks = tuple((i, 1 if flips >> i & 1 else 2) for i in plan.moved)
        plan.changed = bool(plan.touched)
        health = kind == ADD and len(called) == 1 and self._health >> called[0] & 1
        plan.may_auto = plan.changed and not auto and not health and self.schema.masks.auto != 0
        return plan

    def auto_plan(self, node: Node) -> Plan | None:
        """Plan of the auto mutation for *node*, None when no auto state is eligible."""
        if not node.auto_known:
            removed = 0
            for i in node.active:
                removed |= self.schema.masks.remove[i]
            called = tuple(iter_bits(self.schema.masks.auto & ~node.mask & ~removed))
            auto = self.build(node, ADD, called, auto=True) if called else None
            self._count(node)
            node.auto, node.auto_known = auto, True
        return node.auto

    def describe(self, plan: Plan) -> str:
        """``[add] A B``, as in logs."""
        auto = ":auto" if plan.auto else ""
        return f"[{KIND_NAMES[plan.kind]}{auto}] {' '.join(self.schema.names[i] for i in plan.called)}"


def _names(item: object, schema: Schema) -> Sequence[str]:
    if isinstance(item, list | tuple | set | frozenset):
        for name in cast("Sequence[object]", item):
            if not isinstance(name, str):
                raise UnknownState(name, schema.name, schema.names)
        return cast("Sequence[str]", item)
    raise UnknownState(item, schema.name, schema.names)


def plan_cache(schema: Schema) -> PlanCache:
    """The plan cache of this schema, made on first use and kept with it."""
    cache = schema._plans  # the slot exists for this
    if cache is None:
        cache = schema._plans = PlanCache(schema)
    return cast(PlanCache, cache)
