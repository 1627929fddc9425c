from __future__ import annotations

import sys
from pathlib import Path

import pytest

from asyncmachine.cli.pools import check_target, fixed_size, load_path
from asyncmachine.node.functions import TargetError


def test_functions_come_from_the_current_folder_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "only_here.py").write_text("def f(x): return x\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    with pytest.raises(TargetError):
        check_target("only_here:f")
    load_path()
    load_path()
    assert sys.path.count(str(tmp_path)) == 1
    check_target("only_here:f")
    del sys.modules["only_here"]


def test_one_client_may_hold_all_of_a_pool_of_fixed_size() -> None:
    config = fixed_size(40)
    assert (config.min, config.max, config.warm, config.max_client_workers) == (1, 40, 40, 40)
