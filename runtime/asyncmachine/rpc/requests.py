"""Executes the mutations that clients ask for, or says why not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from asyncmachine.api import Result
from asyncmachine.errors import ArgsError, RemoteError
from asyncmachine.machine import Machine
from asyncmachine.rpc.acl import Rights
from asyncmachine.rpc.args import decode_args
from asyncmachine.rpc.protocol.messages import Code, Mutate, Op, Status

__all__ = ["execute"]

_CALLS: Final[Sequence[tuple[str, Callable[..., Result]]]] = (
    ("add", Machine.add),
    ("remove", Machine.remove),
    ("set", Machine.set),
    ("can_add", Machine.can_add),
    ("can_remove", Machine.can_remove),
    ("toggle", Machine.toggle),
)
"""By :class:`Op`."""


def execute(source: Machine, rights: Rights, request: Mutate, max_items: int) -> tuple[int, int]:
    """Execute *request* at once; its status and the queue tick.

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
    what, call = _CALLS[op]
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
    result = call(source, *states, **args)
    if result.queued:
        return Status.QUEUED.value, result.tick
    return (Status.CANCELED if result.canceled else Status.EXECUTED).value, source.queue_tick
