"""What an exit says."""

from __future__ import annotations

import signal

import pytest

from asyncmachine.node.launchers.base import Exit, Reason, signal_name


@pytest.mark.parametrize(("number", "name"), [(9, "SIGKILL"), (signal.SIGSEGV, "SIGSEGV"), (99, "signal 99")])
def test_signals_have_names(number: int, name: str) -> None:
    assert signal_name(number) == name


def test_only_code_zero_is_clean() -> None:
    assert Exit(reason=Reason.EXITED, code=0).clean
    assert not Exit(reason=Reason.EXITED, code=1).clean
    assert not Exit(reason=Reason.SIGNALLED, signal=9).clean
    assert not Exit(reason=Reason.UNKNOWN).clean
