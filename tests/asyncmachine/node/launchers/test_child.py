"""The worker's end. What it does to its own process is tested with real ones, in ``test_process``."""

from __future__ import annotations

import pytest

from asyncmachine.errors import LaunchError
from asyncmachine.node.config import Resources, WorkerSpec
from asyncmachine.node.launchers.child import channel_env, inherit


def test_environment_names_the_channels_and_the_limits() -> None:
    spec = WorkerSpec(
        kind="k", argv=("x",), on_orphan="kill", drain=2, resources=Resources(nice=1, open_files=64)
    )
    assert channel_env(spec, 5, 6) == {
        "ASYNCMACHINE_BOOT_FD": "5",
        "ASYNCMACHINE_LIFE_FD": "6",
        "ASYNCMACHINE_ON_ORPHAN": "kill",
        "ASYNCMACHINE_DRAIN": "2.0",
        "ASYNCMACHINE_LIMITS": "nice=1,open_files=64",
    }


@pytest.mark.parametrize("present", ["", "ASYNCMACHINE_BOOT_FD", "ASYNCMACHINE_LIFE_FD"])
def test_not_launched_by_us(present: str) -> None:
    environ = {"PATH": "/bin", **({present: "3"} if present else {})}
    assert inherit(environ) is None
    assert environ == {"PATH": "/bin"}, "half of it is removed, too"


@pytest.mark.parametrize(("boot", "life"), [("x", "4"), ("1000000", "4"), ("-1", "4")])
def test_descriptors_that_are_not_there(boot: str, life: str) -> None:
    with pytest.raises(LaunchError, match="should have inherited is not there"):
        inherit({"ASYNCMACHINE_BOOT_FD": boot, "ASYNCMACHINE_LIFE_FD": life})
