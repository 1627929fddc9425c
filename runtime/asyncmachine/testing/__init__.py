"""For tests of machines: virtual time, recorders, Hypothesis strategies, links in memory, pytest fixtures.

Needs the extra ``testing`` (pytest, hypothesis, trio), each part only what it uses. Nothing else of the
library imports this package. See ``docs/manual/testing.md``.
"""
