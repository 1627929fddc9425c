from __future__ import annotations

import anyio

from asyncmachine.testing.clock import run_virtual
from asyncmachine.testing.sim.trace import Trace


def test_lines_have_their_time_and_are_counted() -> None:
    seen: list[str] = []

    async def main() -> Trace:
        trace = Trace(seen.append)
        await anyio.sleep(5)
        trace.note("send", "a")
        await anyio.sleep(1.25)
        trace.note("send", "b")
        trace.note("quiet")
        return trace

    trace = run_virtual(main)
    assert trace.lines == ["   0.000000 send a", "   1.250000 send b", "   1.250000 quiet"] == seen
    assert trace.counts == {"send": 2, "quiet": 1}
    assert trace.tail(2) == "... 1 lines ...\n   1.250000 send b\n   1.250000 quiet"
    assert trace.tail(3).splitlines() == trace.lines


def test_the_digest_depends_on_notes_and_not_on_remarks() -> None:
    async def main() -> list[str]:
        traces = [Trace() for _ in range(4)]
        for trace in traces:
            trace.note("a", "1")
        traces[1].remark("log", "something")
        traces[2].note("log", "something")
        traces[3].note("a", "2")
        return [trace.digest for trace in traces]

    plain, remarked, noted, other = run_virtual(main)
    assert plain == remarked
    assert len({plain, noted, other}) == 3
    assert len(plain) == 16
