"""Executes the mutations that clients ask for, or says why not."""

from __future__ import annotations

from typing import Any, Final

from asyncmachine._core.mutation import ADD, REMOVE, SET, Mutation, Source
from asyncmachine._core.waits import ACTIVE, Wait
from asyncmachine.api import CANCELED, Result
from asyncmachine.errors import ArgsError, RemoteError
from asyncmachine.machine import Machine
from asyncmachine.rpc.acl import Rights
from asyncmachine.rpc.args import decode_args
from asyncmachine.rpc.protocol.messages import WAIT_FINAL, Code, Mutate, Op, Status
from asyncmachine.rpc.replies import Reply

__all__ = ["execute", "settled", "status_of"]

_NAMES: Final = ("add", "remove", "set", "can_add", "can_remove", "toggle")
"""By :class:`Op`."""


class _Settled(Wait):
    """Fires when a queued mutation was processed."""

    __slots__ = ("reply",)

    def __init__(self, reply: Reply[Result]) -> None:
        super().__init__(ACTIVE, ())
        self.reply = reply
        self.sleepers = [self]  # somebody waits: it is woken

    def wake(self) -> None:
        """See the base."""
        result = self.reply.key.result
        self.reply.resolve(result if result is not None else CANCELED)


class _Queue:
    """Owns the replies to mutations that wait in the queue of a machine."""

    @staticmethod
    def abandoned(reply: Reply[Any]) -> None:
        """See ``Owner``: it is taken out of the queue, if it is still there."""
        mutation = reply.key
        engine = mutation.engine
        if engine.queue.withdraw(mutation):
            engine.wake(mutation.finish(CANCELED))


_QUEUE: Final = _Queue()


def settled(mutation: Mutation) -> Reply[Result]:
    """The final result of a mutation that was queued."""
    reply: Reply[Result] = Reply(_QUEUE, mutation)
    mutation.waiters = [*(mutation.waiters or ()), _Settled(reply)]
    return reply


def status_of(result: Result) -> int:
    """The status in RESULT."""
    return (Status.QUEUED if result.queued else Status.CANCELED if result.canceled else Status.EXECUTED).value


def execute(
    source: Machine, rights: Rights, request: Mutate, client: str, max_items: int
) -> tuple[int, int] | Reply[Result]:
    """Execute *request* at once; its status and the queue tick, or the reply that will tell.

    Handlers see *client* as the machine that the mutation comes from: it is the id of the session, not
    something that the request could say.

    Raises:
        RemoteError: with the code and the text for the client; nothing was executed.
    """
    schema = source.schema
    names = schema.names
    called = 0
    for index in request.states:
        if not 0 <= index < len(names):
            raise RemoteError(Code.STATE, f"{schema.name} has no state with index {index}")
        called |= 1 << index
    if not called:
        raise RemoteError(Code.STATE, "no state was called")
    op = request.op
    what = _NAMES[op]
    active = sum(1 << i for i, tick in enumerate(source.time()) if tick & 1) if op == Op.SET else 0
    if missing := rights.missing(op, called, active):
        # a state that was not called is not named: the role may not know of it
        shown = schema.names_of(missing & called) or ("what that would end",)
        raise RemoteError(Code.DENIED, f"role {rights.role!r} may not {what} {', '.join(shown)}")
    states = [names[index] for index in request.states]
    args = {}
    if request.args is not None or any(schema.states[name].args for name in states):
        try:
            args = decode_args(
                schema,
                states,
                request.args,
                complete=op not in (Op.REMOVE, Op.CAN_REMOVE),
                max_items=max_items,
            )
        except ArgsError as error:
            raise RemoteError(Code.ARGS, str(error)) from None
    if not request.ttl:
        return Status.EXPIRED.value, source.queue_tick
    if source.disposed:
        return Status.DISPOSED.value, source.queue_tick
    result = _perform(source, op, states, args, Source(client, f"{client}/{request.rid}", 0))
    if isinstance(result, Mutation) and not result.done:
        return settled(result) if request.flags & WAIT_FINAL else (Status.QUEUED.value, result.tick)
    return status_of(result), source.queue_tick


def _perform(source: Machine, op: int, states: list[str], args: dict[str, object], origin: Source) -> Result:
    if op == Op.CAN_ADD:
        return source.can_add(states, **args)
    if op == Op.CAN_REMOVE:
        return source.can_remove(states, **args)
    kind = SET if op == Op.SET else REMOVE if op == Op.REMOVE else ADD
    if op == Op.TOGGLE and source.is_active(*states):
        kind = REMOVE
    return source.add_from(origin, kind, tuple(states), args)
