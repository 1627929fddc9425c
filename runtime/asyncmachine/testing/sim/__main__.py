"""See :mod:`asyncmachine.testing.sim.replay`."""

from asyncmachine.testing.sim.replay import main

if __name__ == "__main__":
    raise SystemExit(main())
