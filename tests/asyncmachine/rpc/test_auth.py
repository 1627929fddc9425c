from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from asyncmachine.errors import RpcError
from asyncmachine.rpc.acl import Admission, Claim
from asyncmachine.rpc.auth import Credentials, Psk, read_keys, same_user
from asyncmachine.rpc.peers import Peer
from asyncmachine.rpc.protocol.proofs import client_proof, server_proof

KEY = bytes(range(32))


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_one_key_for_all(tmp_path: Path) -> None:
    assert read_keys(write(tmp_path / "k", f"\n# a comment\n{KEY.hex()}\n")) == KEY


def test_a_key_for_each(tmp_path: Path) -> None:
    text = f"alice {KEY.hex()}\nbob {KEY[::-1].hex()}\n"
    assert read_keys(write(tmp_path / "k", text)) == {"alice": KEY, "bob": KEY[::-1]}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "one key without a name, or only keys with names"),
        (KEY.hex()[:62], "k:1 is no key"),
        ("zz" * 32, "k:1 is no key"),
        (f"a b {KEY.hex()}", "k:1 is no key"),
        (f"a#b {KEY.hex()}", "k:1 is no key"),
        (f"a {KEY.hex()}\na {KEY.hex()}", "two keys for 'a'"),
        (f"a {KEY.hex()}\n{KEY.hex()}", "one key without a name"),
    ],
)
def test_files_that_are_wrong(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(RpcError, match=why) as caught:
        read_keys(write(tmp_path / "k", text))
    assert KEY.hex() not in str(caught.value)


def test_a_file_that_others_can_read(tmp_path: Path) -> None:
    path = write(tmp_path / "k", KEY.hex(), 0o640)
    with pytest.raises(RpcError, match="can be read by others; chmod 600"):
        read_keys(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(RpcError, match="No such file"):
        read_keys(tmp_path / "none")
    with pytest.raises(RpcError, match=r"no regular file|directory"):
        read_keys(tmp_path)
    (tmp_path / "b").write_bytes(b"\xff\xfe")
    (tmp_path / "b").chmod(0o600)
    with pytest.raises(RpcError, match="not text"):
        read_keys(tmp_path / "b")


def test_a_client_offers_what_it_has_and_nothing_weaker() -> None:
    plain, tls = Peer(), Peer(encrypted=True)
    assert Credentials().methods(plain) == ("none", "peercred")
    assert Credentials().methods(tls) == ("mtls", "none")
    for peer in (plain, tls):
        assert Credentials(ticket=KEY).methods(peer) == ("ticket",)
        assert Credentials(psk=Psk(KEY)).methods(peer) == ("psk",)


def test_proofs() -> None:
    peer = Peer(channel=b"c")
    mine = Credentials(psk=Psk(KEY))
    assert mine.prove(b"t", peer) == client_proof(KEY, b"t", b"c")
    assert mine.convinced(server_proof(KEY, b"t", b"c"), b"t", peer)
    for wrong in (b"", client_proof(KEY, b"t", b"c"), server_proof(KEY, b"t"), server_proof(KEY, b"u", b"c")):
        assert not mine.convinced(wrong, b"t", peer)
    assert Credentials(ticket=KEY).prove(b"t", peer) == KEY
    assert Credentials().prove(b"t", peer) is None
    assert Credentials().convinced(b"", b"t", peer)


def test_secrets_are_not_shown() -> None:
    for shown in (repr(Psk(KEY, "me")), repr(Credentials(ticket=KEY)), repr(Credentials(psk=Psk(KEY)))):
        assert "x01" not in shown
    with pytest.raises(RpcError, match="at least 32"):
        Psk(b"secret")


@pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="this system does not tell")
def test_the_same_user() -> None:
    acl, uid = same_user("admin"), os.getuid()
    assert acl.admit(Claim("#x", None, b"", Peer(uid=uid)), 0.0) == Admission(
        f"uid:{uid}#x", f"uid:{uid}", "admin"
    )
    assert isinstance(acl.admit(Claim("#x", None, b"", Peer(uid=uid + 1)), 0.0), str)
