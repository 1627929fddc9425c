"""How many may knock, and how often: counters of one door. Pure: ``now`` is passed in."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from math import inf

from asyncmachine.rpc.config import Limits
from asyncmachine.rpc.protocol.events import Bucket

__all__ = ["Gate", "Meter"]

REMEMBERED = 4096  # addresses and identities, the latest ones
MINUTE = 60.0


class Gate:
    """Counts connections that are not authenticated yet, failures, and sessions begun.

    An address is "" for peers that have none: Unix sockets, socket pairs, memory. Those are counted in
    all, and never one by one.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._inside: Counter[str] = Counter()
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()
        self._begun: OrderedDict[str, Bucket] = OrderedDict()
        self.unauthenticated = 0

    def full(self) -> bool:
        """Whether there are so many strangers that nobody else is looked at."""
        return self.unauthenticated >= self._limits.preauth_connections

    def enter(self, address: str) -> bool:
        """One more stranger; False when there are too many, here or from this address."""
        if self.full() or (address and self._inside[address] >= self._limits.preauth_per_address):
            return False
        self.unauthenticated += 1
        if address:
            self._inside[address] += 1
        return True

    def leave(self, address: str) -> None:
        """A stranger is gone, or is none any more."""
        self.unauthenticated -= 1
        if address:
            self._inside[address] -= 1
            if not self._inside[address]:
                del self._inside[address]

    def failed(self, address: str, now: float) -> int:
        """A refused handshake; how many there were from this address within a minute."""
        times = self._failures.setdefault(address, deque(maxlen=1000))
        self._failures.move_to_end(address)
        times.append(now)
        if len(self._failures) > REMEMBERED:
            self._failures.popitem(last=False)
        return self.failures(address, now)

    def failures(self, address: str, now: float) -> int:
        """Refused handshakes from this address within the last minute."""
        times = self._failures.get(address)
        if times is None:
            return 0
        while times and times[0] <= now - MINUTE:
            times.popleft()
        if not times:
            del self._failures[address]
        return len(times)

    def delay(self, address: str, now: float) -> float:
        """How long the next handshake from this address must wait: nothing, until it failed too often.

        Doubled by each further failure. No address is locked out for good, and no identity at all:
        that would be a way to lock out others.
        """
        over = self.failures(address, now) - self._limits.failures
        if over < 0:
            return 0.0
        return min(self._limits.failure_delay, 0.1 * 2.0 ** min(over, 30))

    def begin(self, client_id: str, now: float) -> bool:
        """A session of this client begins; False when it begins them too often."""
        rate = self._limits.session_rate
        if rate == inf:
            return True
        bucket = self._begun.get(client_id)
        if bucket is None:
            bucket = self._begun[client_id] = Bucket(rate, rate, now)
            if len(self._begun) > REMEMBERED:
                self._begun.popitem(last=False)
        self._begun.move_to_end(client_id)
        return bucket.take(now)


class Meter:
    """The requests of one session, against its rate.

    A peer that sends more is read later: what it owes is paid by time. Only one that goes on to send far
    more than it may, second after second, is a flood.
    """

    __slots__ = ("_at", "_burst", "_left", "_rate", "_strikes", "_strikes_left")

    def __init__(self, limits: Limits, now: float) -> None:
        self._rate, self._burst = limits.request_rate, limits.request_burst
        self._left, self._at = float(self._burst), now
        self._strikes = self._strikes_left = limits.request_strikes

    @staticmethod
    def wanted(limits: Limits) -> bool:
        """Whether there is a rate at all."""
        return limits.request_rate != inf

    def charge(self, count: int, now: float) -> float:
        """Take *count* requests; when to read on: now, or later. ``math.inf``: it is a flood."""
        left = min(self._burst, self._left + (now - self._at) * self._rate) - count
        self._left, self._at = left, now
        if left >= 0:
            self._strikes_left = self._strikes
            return now
        if left < -self._rate:  # it owes more than a second
            self._strikes_left -= 1
            if self._strikes_left < 0:
                return inf
        return now - left / self._rate
