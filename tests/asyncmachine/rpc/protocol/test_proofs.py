from __future__ import annotations

import statistics
import time

import pytest

from asyncmachine.rpc.protocol.proofs import client_proof, extend, full_id, identity_of, same, server_proof

KEY = bytes(range(32))


def test_a_proof_depends_on_everything() -> None:
    base = client_proof(KEY, b"t" * 32, b"c" * 32)
    assert base == client_proof(KEY, b"t" * 32, b"c" * 32)
    others = {
        server_proof(KEY, b"t" * 32, b"c" * 32),
        client_proof(bytes(32), b"t" * 32, b"c" * 32),
        client_proof(KEY, b"u" * 32, b"c" * 32),
        client_proof(KEY, b"t" * 32, b"d" * 32),
        client_proof(KEY, b"t" * 32),
    }
    assert len(others) == 5
    assert base not in others
    assert KEY not in base


def test_a_known_answer() -> None:
    """For who writes another implementation."""
    transcript = extend(extend(b"", b"hello"), b"challenge")
    assert transcript.hex() == ("2fd548f3ed872dc427fe4649fc7ecc19c9217a98c7dbbc6a2aeae52c9dbf78b4")
    assert client_proof(KEY, transcript).hex() == (
        "8457a5368fafbd90bb5a02a109ecb77dd78868f8679915f437f4e5816f4280aa"
    )
    assert server_proof(KEY, transcript).hex() == (
        "b7717b0fe99b3446f17d7997a024a37e46932d26f15f237435d6aa2037ce3c0d"
    )


def test_a_transcript_is_its_messages_in_their_order() -> None:
    assert extend(extend(b"", b"a"), b"b") != extend(extend(b"", b"b"), b"a")
    assert extend(extend(b"", b"a"), b"b") != extend(b"", b"ab")


def test_comparing() -> None:
    proof = client_proof(KEY, b"t")
    assert same(proof, bytes(proof))
    assert not same(proof, None)
    assert not same(proof, b"")
    assert not same(proof, proof[:-1] + bytes([proof[-1] ^ 1]))


def test_time_says_nothing_of_how_much_is_right() -> None:
    """Medians for a first wrong byte and a last wrong byte are within noise of each other (H47)."""
    right = client_proof(KEY, b"t")
    first, last = bytes([right[0] ^ 1]) + right[1:], right[:-1] + bytes([right[-1] ^ 1])
    took: dict[bytes, list[int]] = {first: [], last: []}
    for _ in range(3000):
        for guess, times in took.items():
            begin = time.perf_counter_ns()
            for _ in range(10):
                same(right, guess)
            times.append(time.perf_counter_ns() - begin)
    one, other = (statistics.median(times) for times in took.values())
    assert abs(one - other) < 0.25 * max(one, other)


@pytest.mark.parametrize(
    ("identity", "claim", "known"),
    [
        ("alice", "alice", "alice"),
        ("alice", "alice#1", "alice#1"),
        ("alice", "#1", "alice#1"),
        ("alice", "bob", None),
        ("alice", "alice1", None),
        ("alice", "", None),
        ("", "#1", None),
        ("", "", None),
        ("a#b", "a#b", None),
        ("spiffe://pool", "spiffe://pool/admin", None),
    ],
)
def test_ids(identity: str, claim: str, known: str | None) -> None:
    assert full_id(identity, claim) == known
    if known is not None:
        assert identity_of(known) == identity
