"""Who holds which worker, and who is next. Pure.

A request is answered at once, with one of four answers, and never with silence. Requests that wait
are served in an order that is fair per client: a client that asks for many workers gets them in
turn with the others, and nobody who asks later can pass for ever (start-time fair queueing).
Granting is one step: the lease exists, and the worker is taken, before anybody is told.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import TypeAlias

from asyncmachine.node.config import PoolConfig

__all__ = ["Answer", "Busy", "Denied", "Granted", "Lease", "LeaseTable", "Queued", "Request"]

_LAST_ID = (1 << 64) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One client asks for one worker.

    Attributes:
        client: id of the client.
        number: of the request, unique within the client; asking again with it is harmless.
        deadline: when the client stops waiting.
        tried: workers that have refused this request.
    """

    client: str
    number: int
    deadline: float
    tried: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, int]:
        """What identifies it."""
        return self.client, self.number


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """One worker, held by one client.

    Attributes:
        id: rises with every grant, so a worker can refuse an older one (fencing); 64 bits.
        worker: id of the worker.
        request: what it answers.
        expires: when the ticket dies, if the client has not come by then; None: it has come.
    """

    id: int
    worker: str
    request: Request
    expires: float | None

    @property
    def client(self) -> str:
        """Id of the holder."""
        return self.request.client


@dataclass(frozen=True, slots=True)
class Granted:
    """The client has a worker."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class Queued:
    """Another answer will follow. ``position``: requests that would be served before, plus one."""

    position: int


@dataclass(frozen=True, slots=True)
class Busy:
    """Too many wait already. ``retry_after``: seconds, an estimate."""

    retry_after: float


@dataclass(frozen=True, slots=True)
class Denied:
    """This will not be granted, asking again will not help."""

    reason: str


Answer: TypeAlias = Granted | Queued | Busy | Denied
Picker: TypeAlias = Callable[[Collection[str]], str | None]
"""Given the workers that were tried, the id of a free one, or None."""


@dataclass(slots=True)
class _Waiting:
    request: Request
    turn: float
    order: int

    def before(self) -> tuple[float, int]:
        return self.turn, self.order


class LeaseTable:
    """All leases and waiting requests of a supervisor.

    Args:
        config: ``max_client_workers``, ``queue_limit``, ``ticket_ttl`` and ``lease_tries`` are used.
        first: id of the first lease; a supervisor that starts anew begins above its predecessor.
    """

    def __init__(self, config: PoolConfig, first: int = 1) -> None:
        if not 0 < first <= _LAST_ID:
            raise ValueError(f"first lease id is {first}, it must be between 1 and 2**64 - 1")
        self.config = config
        self._next = first
        self._leases: dict[int, Lease] = {}
        self._by_worker: dict[str, int] = {}
        self._waiting: dict[tuple[str, int], _Waiting] = {}
        self._turns: dict[str, float] = {}  # last turn given to a client, while it lies ahead
        self._served = 0.0  # the turn that was served last
        self._order = 0

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._waiting)

    @property
    def leases(self) -> tuple[Lease, ...]:
        """All leases, oldest first."""
        return tuple(self._leases.values())

    def lease(self, lease_id: int) -> Lease | None:
        """The lease with this id, or None."""
        return self._leases.get(lease_id)

    def of_worker(self, worker: str) -> Lease | None:
        """The lease on this worker, or None."""
        return self._leases.get(self._by_worker.get(worker, 0))

    def held(self, client: str) -> int:
        """Workers this client holds."""
        return sum(x.client == client for x in self._leases.values())

    def ask(self, request: Request, now: float, pick: Picker, draining: bool = False) -> Answer:
        """Answer a request. The same request asked again gets its present answer, never a second worker."""
        for lease in self._leases.values():
            if lease.request.key == request.key:
                return Granted(lease)
        if request.key in self._waiting:
            return Queued(self.position(request.key))
        if draining:
            return Denied("the pool is draining")
        if now >= request.deadline:
            return Denied("the deadline of the request has passed")
        if (most := self.config.max_client_workers) <= (has := self._claims(request.client)):
            return Denied(
                f"client {request.client!r} holds or waits for {has} workers, at most {most} are allowed"
            )
        if not self._waiting and (worker := pick(request.tried)):
            self._take_turn(request.client)
            return Granted(self._grant(request, worker, now))
        if len(self._waiting) >= self.config.queue_limit:
            return Busy(self._retry_after(now))
        self._order += 1
        self._waiting[request.key] = _Waiting(request, self._next_turn(request.client), self._order)
        return Queued(self.position(request.key))

    def serve(self, now: float, pick: Picker) -> list[Lease]:
        """Grant what can be granted to those who wait; call it whenever a worker becomes free.

        *pick* is called after each grant and must not offer a worker twice.
        """
        granted: list[Lease] = []
        for entry in sorted(self._waiting.values(), key=_Waiting.before):
            if now < entry.request.deadline and (worker := pick(entry.request.tried)):
                del self._waiting[entry.request.key]
                self._served = max(self._served, entry.turn)
                granted.append(self._grant(entry.request, worker, now))
        self._turns = {c: t for c, t in self._turns.items() if t > self._served}
        return granted

    def give(self, client: str, worker: str, now: float) -> Lease | None:
        """Grant this worker to the first of the requests of *client* that wait. None: there is none.

        Raises:
            ValueError: the worker is leased already.
        """
        mine = [w for w in self._waiting.values() if w.request.client == client and now < w.request.deadline]
        if not mine:
            return None
        entry = min(mine, key=_Waiting.before)
        lease = self._grant(entry.request, worker, now)
        del self._waiting[entry.request.key]
        return lease

    def refused(self, lease_id: int) -> Request | Denied:
        """The worker refused the lease: the request goes back to the head of its client's turn.

        Returns the request, waiting again, or why it is denied after ``lease_tries`` workers.
        """
        lease = self._leases[lease_id]
        self._drop(lease)
        request = replace(lease.request, tried=(*lease.request.tried, lease.worker))
        if len(request.tried) >= self.config.lease_tries:
            return Denied(f"{len(request.tried)} workers refused: {', '.join(request.tried)}")
        self._waiting[request.key] = _Waiting(request, self._served, -self._order)
        self._order += 1
        return request

    def claimed(self, lease_id: int) -> bool:
        """The client has connected to its worker. False: there is no such lease."""
        lease = self._leases.get(lease_id)
        if lease is None:
            return False
        self._leases[lease_id] = replace(lease, expires=None)
        return True

    def release(self, lease_id: int) -> Lease | None:
        """End a lease. Returns it, or None if there is none with this id: harmless."""
        lease = self._leases.get(lease_id)
        if lease is not None:
            self._drop(lease)
        return lease

    def release_worker(self, worker: str) -> Lease | None:
        """End the lease on a worker that is gone. Returns it, or None."""
        return self.release(self._by_worker.get(worker, 0))

    def forget_client(self, client: str) -> list[Lease]:
        """Drop all requests of a client that is gone; returns its leases, which stay for now.

        The worker serves its client directly: whether a lease has ended is the worker's word.
        """
        for key in [k for k in self._waiting if k[0] == client]:
            del self._waiting[key]
        return [x for x in self._leases.values() if x.client == client]

    def withdraw(self, client: str, number: int) -> bool:
        """Drop one waiting request. False: it does not wait."""
        return self._waiting.pop((client, number), None) is not None

    def expire(self, now: float) -> tuple[list[Request], list[Lease]]:
        """Drop what is past its time: requests nobody waits for, leases whose client never came."""
        late = [w.request for w in self._waiting.values() if now >= w.request.deadline]
        for request in late:
            del self._waiting[request.key]
        unclaimed = [x for x in self._leases.values() if x.expires is not None and now >= x.expires]
        for lease in unclaimed:
            self._drop(lease)
        return late, unclaimed

    def deny_all(self) -> list[Request]:
        """Empty the queue, as the pool drains. Returns the requests, each owed a ``Denied``."""
        requests = [w.request for w in self._waiting.values()]
        self._waiting.clear()
        return requests

    def next_deadline(self) -> float | None:
        """When :meth:`expire` will find something."""
        times = [w.request.deadline for w in self._waiting.values()]
        times += [x.expires for x in self._leases.values() if x.expires is not None]
        return min(times, default=None)

    def position(self, key: tuple[str, int]) -> int:
        """Place in the queue, from 1. Raises ``KeyError`` if the request does not wait."""
        mine = self._waiting[key].before()
        return sum(w.before() <= mine for w in self._waiting.values())

    def _claims(self, client: str) -> int:
        return self.held(client) + sum(k[0] == client for k in self._waiting)

    def _grant(self, request: Request, worker: str, now: float) -> Lease:
        if worker in self._by_worker:
            raise ValueError(
                f"worker {worker!r} is leased already, to {self._leases[self._by_worker[worker]].client!r}"
            )
        lease = Lease(id=self._next, worker=worker, request=request, expires=now + self.config.ticket_ttl)
        self._next += 1
        self._leases[lease.id] = lease
        self._by_worker[worker] = lease.id
        return lease

    def _drop(self, lease: Lease) -> None:
        del self._leases[lease.id]
        del self._by_worker[lease.worker]

    def _next_turn(self, client: str) -> float:
        turn = max(self._served, self._turns.get(client, 0.0)) + 1
        self._turns[client] = turn
        return turn

    def _take_turn(self, client: str) -> None:
        self._served = self._next_turn(client)
        self._turns = {c: t for c, t in self._turns.items() if t > self._served}

    def _retry_after(self, now: float) -> float:
        """Until the first of those who wait gives up or is served, at least a second."""
        first = min((w.request.deadline for w in self._waiting.values()), default=now)
        return max(1.0, min(first - now, 30.0))
