"""Proofs that a peer knows a key, and whom a client id belongs to. Nothing secret is in what is sent.

Both sides keep a digest of the handshake so far, the *transcript*: whatever somebody in the middle
changes (an offer left out, an older version, another nonce), the proofs do not fit. The labels say who
speaks, so a proof sent back to its maker is worth nothing; the nonces of both sides are in the
transcript, so an old one is not either.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

__all__ = ["KEY_SIZE", "client_proof", "extend", "full_id", "identity_of", "same", "server_proof"]

KEY_SIZE: Final = 32
"""Bytes that a key has at least."""

SEPARATOR: Final = "#"
"""Between an identity and the name that a client gives to itself."""


def extend(transcript: bytes, body: bytes) -> bytes:
    """The transcript after one more message of the handshake, whoever sent it."""
    return hashlib.sha256(transcript + body).digest()


def _proof(key: bytes, label: bytes, transcript: bytes, channel: bytes) -> bytes:
    return hmac.new(key, b"%b\x00%b%b" % (label, transcript, channel), hashlib.sha256).digest()


def client_proof(key: bytes, transcript: bytes, channel: bytes = b"") -> bytes:
    """What a client sends in AUTH: 32 bytes.

    Args:
        transcript: of HELLO and CHALLENGE.
        channel: with TLS, the SHA-256 of the server's certificate: a proof made for another server
            cannot be passed on.
    """
    return _proof(key, b"arpc/2 client", transcript, channel)


def server_proof(key: bytes, transcript: bytes, channel: bytes = b"") -> bytes:
    """What the server sends in WELCOME; see :func:`client_proof`."""
    return _proof(key, b"arpc/2 server", transcript, channel)


def same(one: bytes, other: bytes | None) -> bool:
    """Compare proofs; the time it takes says nothing about where they differ."""
    return other is not None and hmac.compare_digest(one, other)


def identity_of(client_id: str) -> str:
    """The identity that an id claims: ``alice`` of ``alice#laptop``."""
    return client_id.partition(SEPARATOR)[0]


def full_id(identity: str, claim: str) -> str | None:
    """The id of a client whose identity was proved; None when it claims another identity.

    ``#laptop`` is for clients that do not know what their certificate is taken for: it becomes
    ``alice#laptop``. An identity with ``#`` in it is nobody's.
    """
    if not identity or SEPARATOR in identity:
        return None
    if claim.startswith(SEPARATOR):
        return identity + claim
    return claim if identity_of(claim) == identity else None
