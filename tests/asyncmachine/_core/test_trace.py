from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asyncmachine._core.trace import Tracers
from asyncmachine.api import Tracer


class Listener(Tracer):
    def __init__(self, name: str, seen: list[str]) -> None:
        self.name, self.seen = name, seen

    def machine_init(self, machine: Any) -> None:
        self.seen.append(f"{self.name} init {machine}")

    def queue_end(self, machine: Any) -> None:
        self.seen.append(f"{self.name} end {machine}")

    def report(self, machine: Any, kind: str, details: Mapping[str, Any]) -> None:
        self.seen.append(f"{self.name} report {kind} {details.get('hook', '')}")


class Broken(Tracer):
    def queue_end(self, machine: Any) -> None:
        raise ValueError("tracer broke")


def tracers(log: list[tuple[str, Mapping[str, Any]]] | None = None) -> Tracers:
    heard = [] if log is None else log
    return Tracers("m", lambda kind, details: heard.append((kind, details)))


def test_hooks_are_called_in_order_of_attachment() -> None:
    seen: list[str] = []
    items = tracers()
    items.attach(Listener("one", seen))
    items.attach(Listener("two", seen))
    items.emit("queue_end")
    assert seen == ["one init m", "two init m", "one end m", "two end m"]


def test_detach_is_by_identity_and_harmless_when_absent() -> None:
    seen: list[str] = []
    items, one = tracers(), Listener("one", seen)
    items.attach(one)
    items.detach(Listener("one", seen))
    assert items.items == (one,)
    items.detach(one)
    items.detach(one)
    assert items.items == ()


def test_a_tracer_that_raises_is_detached_and_reported_to_the_others_and_the_log() -> None:
    seen: list[str] = []
    log: list[tuple[str, Mapping[str, Any]]] = []
    items = tracers(log)
    items.attach(Broken())
    items.attach(Listener("one", seen))
    items.emit("queue_end")
    items.emit("queue_end")
    assert seen == ["one init m", "one report tracer-detached queue_end", "one end m", "one end m"]
    (kind, details), *rest = log
    assert kind == "tracer-detached"
    assert str(details["error"]) == "tracer broke"
    assert not rest


def test_the_only_tracer_does_not_vanish_in_silence() -> None:
    log: list[tuple[str, Mapping[str, Any]]] = []
    items = tracers(log)
    items.attach(Broken())
    items.emit("queue_end")
    assert items.items == ()
    assert [kind for kind, _ in log] == ["tracer-detached"]


def test_reports_reach_the_log_without_any_tracer() -> None:
    log: list[tuple[str, Mapping[str, Any]]] = []
    tracers(log).report("slow-handler", seconds=0.2)
    assert log == [("slow-handler", {"seconds": 0.2})]
