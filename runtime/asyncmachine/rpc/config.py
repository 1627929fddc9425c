"""Settings of aRPC. Sizes are bytes, times are seconds."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

__all__ = ["DEFAULTS", "Limits", "RpcConfig"]

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one side accepts. The server sends its own in WELCOME.

    Attributes:
        preauth_frame, preauth_bytes, preauth_frames: before authentication: of one frame, in all.
        preauth_seconds: from the connection to WELCOME.
        preauth_connections, preauth_per_address: connections of one listener, and from one address, that
            are not authenticated yet. ``preauth_waiting``: more of them that wait, unheard, for room.
        failures: refused handshakes from one address within a minute, from which on its next ones are
            delayed by 0.1 s, doubled each time, up to ``failure_delay``.
        session_rate: sessions that one authenticated identity may begin in a second; ``inf``: any number.
        handshake_seconds: from the connection to READY.
        refusal_seconds: how long a refusal before WELCOME is held back, to slow down guessing.
        envelope: a message without its opaque byte string (args or payload).
        args, payload: of one opaque byte string.
        items: CBOR items in one envelope, or in one set of args.
        called: states in one mutation.
        in_flight: requests of one client that wait for an answer.
        unacked: payloads of one session that wait for an acknowledgement.
        answers: remembered for each client, lest a request that comes again is executed twice. Of a client
            that has no session for ``answers_seconds``, of at most so many as ``answers_absent``.
        text: of an id or a name. ``error_text``: of an error message; longer ones are cut.
        request_rate, request_burst: requests of one session in a second, and at once; ``inf``: any number.
            A peer that sends more is read later. ``request_strikes``: how often in a row it may owe more
            than a second before it is dropped.
        output_total: unsent bytes of all sessions of a server from which on a slow one gets no more payloads.
        pings: heartbeats accepted in a second.
        glitch_burst, glitch_rate: harmless mistakes of a peer: at once, and per second after that.
        resync_seconds: least time between two resyncs that are not a fault.
        output_soft: unsent bytes from which on a peer is no longer read.
        output_hard: unsent bytes from which on it is dropped.
        stall_seconds: how long a peer may take no byte; ``frame_seconds``: to finish one frame.
        close_seconds, close_drain: how long, and how much, is read after our last frame.
        frames_per_turn: frames of one connection handled before others have their turn.
    """

    preauth_frame: int = 8 * KIB
    preauth_bytes: int = 16 * KIB
    preauth_frames: int = 3
    preauth_seconds: float = 5.0
    preauth_connections: int = 64
    preauth_per_address: int = 16
    preauth_waiting: int = 256
    failures: int = 5
    failure_delay: float = 2.0
    session_rate: float = 10.0
    handshake_seconds: float = 10.0
    refusal_seconds: float = 0.1
    envelope: int = 64 * KIB
    args: int = 1 * MIB
    payload: int = 1 * MIB
    items: int = 4096
    called: int = 256
    in_flight: int = 4096
    unacked: int = 4096
    answers: int = 4096
    answers_seconds: float = 60.0
    answers_absent: int = 256
    text: int = 255
    error_text: int = 4 * KIB
    request_rate: float = 1000.0
    request_burst: float = 2000.0
    request_strikes: int = 10
    output_total: int = 256 * MIB
    pings: int = 10
    glitch_burst: int = 100
    glitch_rate: float = 10.0
    resync_seconds: float = 5.0
    output_soft: int = 1 * MIB
    output_hard: int = 8 * MIB
    stall_seconds: float = 10.0
    frame_seconds: float = 10.0
    close_seconds: float = 1.0
    close_drain: int = 64 * KIB
    frames_per_turn: int = 64

    def __post_init__(self) -> None:
        for spec in fields(self):
            value = getattr(self, spec.name)
            if value < 0 or (value == 0 and spec.name != "refusal_seconds"):
                raise ValueError(f"Limits.{spec.name} is {value!r}, it must be positive")
        if self.output_hard < self.payload + self.envelope:
            raise ValueError(f"Limits.output_hard is {self.output_hard}, less than one payload frame")

    @property
    def frame(self) -> int:
        """Largest body after authentication."""
        return self.envelope + max(self.args, self.payload)

    def as_wire(self) -> dict[str, int]:
        """What the peer must know to stay within them."""
        return {
            "envelope": self.envelope,
            "args": self.args,
            "payload": self.payload,
            "called": self.called,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RpcConfig:
    """Behaviour of a server or a client.

    Attributes:
        limits: see :class:`Limits`.
        interval: least time between two pushes of the clock to one session; the first of a burst
            goes at once. 0: one per turn of the event loop.
        heartbeat: a side that has sent nothing for so long sends a PING. A peer from which nothing
            came for three times that is dead. The server's value holds for both sides.
        call_timeout: how long a mutation of a mirror may take; it travels as the time to live.
        payload_timeout: how long a payload may wait for its acknowledgement.
        connect_timeout: for opening a connection.
        retry_base, retry_cap: attempt n to connect again waits a random time up to
            ``min(retry_cap, retry_base * 2**n)``; the very first up to a tenth of ``retry_base``.
        retry_total: give up after so long without a session; None: never.
        stable: after so long in a session the count of attempts starts again.
    """

    limits: Limits = field(default_factory=Limits)
    interval: float = 0.05
    heartbeat: float = 5.0
    call_timeout: float = 3.0
    payload_timeout: float = 30.0
    connect_timeout: float = 5.0
    retry_base: float = 0.5
    retry_cap: float = 10.0
    retry_total: float | None = 300.0
    stable: float = 30.0

    def __post_init__(self) -> None:
        if self.interval < 0:
            raise ValueError(f"RpcConfig.interval is {self.interval!r}, it must be 0 or more seconds")
        for name in ("heartbeat", "call_timeout", "payload_timeout", "connect_timeout"):
            if not getattr(self, name) > 0:
                raise ValueError(f"RpcConfig.{name} is {getattr(self, name)!r}, it must be positive seconds")


DEFAULTS = RpcConfig()
