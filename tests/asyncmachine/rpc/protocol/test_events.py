from __future__ import annotations

import pytest

from asyncmachine.rpc.protocol.events import Bucket, Closed
from asyncmachine.rpc.protocol.messages import Code


def test_a_bucket() -> None:
    bucket = Bucket(2, 1.0, 0.0)
    assert [bucket.take(0.0) for _ in range(3)] == [True, True, False]
    assert bucket.take(1.0)
    assert not bucket.take(1.5)
    assert [bucket.take(100.0) for _ in range(3)] == [True, True, False]


def test_a_bucket_is_never_fuller_than_its_burst() -> None:
    bucket = Bucket(1, 1.0, 0.0)
    assert bucket.take(1000.0)
    assert not bucket.take(1000.0)


@pytest.mark.parametrize("code", Code)
def test_which_ends_are_for_good(code: Code) -> None:
    final = {Code.VERSION, Code.AUTH, Code.DENIED, Code.SCHEMA, Code.LEASE}
    assert Closed(code, "", True).fatal is (code in final)
