"""Deterministic simulation: several processes and the network between them, in virtual time, with faults.

A run is drawn from a seed: which task goes first, how long each packet takes, where it is cut, what breaks
when. The same seed gives the same run, so whatever goes wrong can be looked at again. See
``docs/manual/testing.md``.
"""
