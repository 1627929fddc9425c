"""The audit log: who came, who was refused and why, who left, and what was denied.

Logger ``asyncmachine.audit``, level INFO, one line of JSON an event: nothing that a peer sent can end a
line or colour a terminal. There are no secrets and no payloads in it. Above 100 events a second it says
only how many there were.
"""

from __future__ import annotations

import json
import logging
from itertools import count
from typing import Final

from asyncmachine.rpc.protocol.events import Bucket

__all__ = ["Audit"]

log = logging.getLogger("asyncmachine.audit")

RATE: Final = 100
LONGEST: Final = 512  # characters of a field
_numbers = count(1)


class Audit:
    """The audit log of one server.

    Args:
        name: of the server, in each event.
        now: monotonic seconds, as in all calls.
    """

    def __init__(self, name: str, now: float) -> None:
        self._name = name
        self._bucket = Bucket(RATE, RATE, now)
        self._suppressed = 0

    def note(self, event: str, now: float, **fields: object) -> None:
        """One event, e.g. ``refused``, and what is known of it: texts and numbers; None is left out."""
        if not log.isEnabledFor(logging.INFO):
            return
        if not self._bucket.take(now):
            self._suppressed += 1
            return
        if self._suppressed:
            self._write("suppressed", {"events": self._suppressed})
            self._suppressed = 0
        self._write(event, fields)

    def _write(self, event: str, fields: dict[str, object]) -> None:
        row: dict[str, object] = {"event": event, "n": next(_numbers), "server": self._name}
        for key, value in fields.items():
            if value is not None:
                row[key] = value[:LONGEST] if isinstance(value, str) else value
        log.info("%s", json.dumps(row))
