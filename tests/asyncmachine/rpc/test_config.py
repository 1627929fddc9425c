from __future__ import annotations

import dataclasses

import pytest

from asyncmachine.rpc.config import DEFAULTS, Limits, RpcConfig


def test_limits_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        DEFAULTS.limits.envelope = 1  # type: ignore[misc]


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(Limits)])
def test_no_limit_is_negative(name: str) -> None:
    with pytest.raises(ValueError, match=f"Limits.{name} is -1"):
        Limits(**{name: -1})


def test_zero_is_no_limit_but_for_the_refusal() -> None:
    assert Limits(refusal_seconds=0).refusal_seconds == 0
    with pytest.raises(ValueError, match="envelope"):
        Limits(envelope=0)


def test_a_payload_must_fit_into_the_output() -> None:
    with pytest.raises(ValueError, match="less than one payload"):
        Limits(output_hard=1024)


def test_the_frame_holds_the_larger_of_args_and_payload() -> None:
    limits = Limits(args=10, payload=20)
    assert limits.frame == limits.envelope + 20
    assert limits.as_wire() == {"envelope": limits.envelope, "args": 10, "payload": 20, "called": 256}


@pytest.mark.parametrize(
    "name", ["interval", "heartbeat", "call_timeout", "payload_timeout", "connect_timeout"]
)
def test_times_are_positive(name: str) -> None:
    with pytest.raises(ValueError, match=f"RpcConfig.{name} is -1"):
        RpcConfig(**{name: -1})
    assert RpcConfig(interval=0).interval == 0
