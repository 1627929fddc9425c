"""Settings are checked when they are made, and the message names the field and the value."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from asyncmachine.node.config import LogFiles, PoolConfig, Resources, WorkerSpec


def test_defaults() -> None:
    config = PoolConfig()
    assert (config.min, config.max, config.warm, config.max_client_workers) == (2, 10, 5, 10)
    assert (config.drain, config.grace, config.boot_timeout, config.heartbeat) == (30, 5, 15, 2)
    assert config.silent_after == 6


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(PoolConfig)])
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), "3", True])
def test_every_field_refuses_nonsense(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"PoolConfig\.{field} is {re.escape(repr(value))}, it must be"):
        PoolConfig(**{field: value})


@pytest.mark.parametrize("field", ["drain", "heartbeat", "backoff_base", "boot_timeout", "max_age"])
def test_times_are_positive(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field} is 0, it must be a positive"):
        PoolConfig(**{field: 0})  # type: ignore[arg-type]


@pytest.mark.parametrize("field", ["min", "max", "warm", "max_jobs", "kill_over", "queue_limit"])
def test_counts_are_whole(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field} is 3.5, it must be a whole number"):
        PoolConfig(**{field: 3.5})  # type: ignore[arg-type]


@pytest.mark.parametrize("field", ["spawn_parallelism", "max_jobs", "max_rss", "max_age"])
def test_some_may_be_none(field: str) -> None:
    assert getattr(PoolConfig(**{field: None}), field) is None  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="or None"):
        PoolConfig(**{field: 0})  # type: ignore[arg-type]


@pytest.mark.parametrize("field", ["min", "max", "drain", "heartbeat_misses"])
def test_the_others_may_not(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field} is None"):
        PoolConfig(**{field: None})  # type: ignore[arg-type]


def test_bounds_fit_together() -> None:
    with pytest.raises(ValueError, match="min is 2, more than max 1; give both"):
        PoolConfig(max=1)
    with pytest.raises(ValueError, match=r"backoff_base is 40\.0"):
        PoolConfig(backoff_base=40.0)
    with pytest.raises(ValueError, match=r"error_recent is 601\.0"):
        PoolConfig(error_recent=601.0)
    assert PoolConfig(max=3).warm == 5, "warm is what max allows, so it may be more"


def test_resized_keeps_the_rest_and_checks() -> None:
    config = PoolConfig(drain=7).resized(min=1, max=4, warm=0)
    assert (config.min, config.max, config.warm, config.drain) == (1, 4, 0, 7)
    with pytest.raises(ValueError, match="more than max"):
        config.resized(min=5, max=4, warm=0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": ""}, "kind is ''"),
        ({"kind": "a\nb"}, "kind is"),
        ({"argv": ()}, r"argv is \(\)"),
        ({"argv": ("",)}, "argv is"),
        ({"argv": ("a", "b\0c")}, "argv is"),
        ({"worker": "../x"}, r"worker is '\.\./x'"),
        ({"worker": ".."}, "worker is"),
        ({"env": {"A=B": "1"}}, "env has 'A=B'"),
        ({"env": {"A": "1\0"}}, "env has 'A'"),
        ({"on_orphan": "stay"}, "on_orphan is 'stay', it must be 'finish' or 'kill'"),
        ({"drain": -1}, "drain is -1"),
    ],
)
def test_spec_refuses_what_cannot_be_started(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WorkerSpec(**{"kind": "k", "argv": ("true",), **fields})


def test_spec_named() -> None:
    spec = WorkerSpec(kind="k", argv=("true",), env={"A": "1"})
    assert spec.named("w7") == WorkerSpec(kind="k", argv=("true",), env={"A": "1"}, worker="w7")


@pytest.mark.parametrize(("field", "value"), [("nice", 20), ("nice", -1), ("memory", 1), ("open_files", 3)])
def test_resources(field: str, value: int) -> None:
    with pytest.raises(ValueError, match=rf"Resources\.{field} is {value}"):
        Resources(**{field: value})


@pytest.mark.parametrize(("field", "value"), [("folder", ""), ("max_bytes", 1), ("keep", -1)])
def test_log_files(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"LogFiles\.{field} is {value!r}"):
        LogFiles(**{"folder": "/x", field: value})  # type: ignore[arg-type]


def test_a_worker_takes_over_what_it_may() -> None:
    mine = {"HOME": "/h", "LC_ALL": "C", "LC_TIME": "C", "TOKEN": "secret", "LC": "x"}
    spec = WorkerSpec(kind="k", argv=("x",), env={"A": "1", "HOME": "/w"})
    assert spec.environment(mine) == {**mine, "A": "1", "HOME": "/w"}
    few = dataclasses.replace(spec, env_allow=("HOME", "LC_*"))
    assert few.environment(mine) == {"LC_ALL": "C", "LC_TIME": "C", "A": "1", "HOME": "/w"}
    assert dataclasses.replace(spec, env_allow=()).environment(mine) == {"A": "1", "HOME": "/w"}
    for bad in ("", "A=B", "A*B"):
        with pytest.raises(ValueError, match="NAME or PREFIX"):
            dataclasses.replace(spec, env_allow=(bad,))


def test_processor_time_is_whole_seconds() -> None:
    assert Resources(cpu=3).cpu == 3
    for bad in (0, 1.5):
        with pytest.raises(ValueError, match="whole number of seconds"):
            Resources(cpu=bad)  # type: ignore[arg-type]
