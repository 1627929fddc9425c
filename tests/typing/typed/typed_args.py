"""Uses of modules with types of their own, read by type checkers and never run.

They are the golden modules of ``tests/cases/types``; Plotter extends Printer. A line with
``# expect-type-error`` must be refused, all others must be accepted.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, assert_type

import plotter
from printer import (
    PRINTER_SCHEMA,
    Job,
    Page,
    Place,
    PrinterHandlers,
    PrinterMachine,
    PrintingArgs,
    Quality,
    Unit,
    printer_machine,
)

from asyncmachine.schema import Invariant, ResultLike, to_wire

if TYPE_CHECKING:
    from asyncmachine.machine import Machine
    from asyncmachine.rpc.netmachine import NetMachine
    from asyncmachine.schema import Event


class Handlers(PrinterHandlers):
    """Handlers see types, not what was on the wire."""

    async def printing_state(self, event: Event[PrintingArgs]) -> None:
        args = event.data
        assert_type(args.job, Job)
        assert_type(args.quality, Quality)
        assert_type(args.asked, datetime)
        assert_type(args.job.pages[0].places["a"].unit, Unit)
        assert_type(args.job.pages[0].quality, Quality | None)
        _ = args.job.titel  # expect-type-error
        args.job.title = "x"  # expect-type-error
        if args.quality is Quality.DRAFT:
            return


async def mutations(local: Machine, remote: NetMachine) -> None:
    """The facade wants the types, on both kinds of machines."""
    printer: PrinterMachine = printer_machine(local)
    printer = printer_machine(remote)
    job = Job(title="t", pages=[Page(places={"a": Place(x=1.0)})], due=None)
    now = datetime.now(UTC)
    assert_type(await printer.add("Printing", job=job, asked=now), ResultLike)
    await printer.add("Printing", job=job, asked=now, quality=Quality.PHOTO, spare=job, tray=2)
    await printer.add("Printing", job=job, asked=now, quality="photo")  # expect-type-error
    await printer.add("Printing", job={"title": "t"}, asked=now)  # expect-type-error
    await printer.add("Printing", job=job, asked=now.isoformat())  # expect-type-error
    await printer.add("Printing", job=job)  # expect-type-error
    await printer.when_args("Printing", quality=Quality.TEXT_FINE)


def values() -> None:
    """Enums are text, records are frozen and keyword-only."""
    text: str = Unit.MM
    Place(1.0)  # expect-type-error
    Place(x="1")  # expect-type-error
    Place(x=1.0, unit="cm")  # expect-type-error
    Place(x=1.0).x = 2.0  # expect-type-error
    _ = Unit.CM  # expect-type-error
    other: Quality = plotter.Quality.DRAFT  # expect-type-error
    same: bool = text == plotter.Quality.DRAFT
    wire: object = to_wire(Place(x=1.0))
    held: bool = PRINTER_SCHEMA.invariants[0].holds(0)
    Invariant("always", ("Printing",))  # expect-type-error
    del other, same, wire, held
