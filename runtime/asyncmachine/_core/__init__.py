"""The engine: pure decisions, no I/O, no clock, no randomness, no event loop.

``Engine`` drains a queue of mutations and leaves *effects* behind (tasks to start, scopes to
cancel, waits to fire); ``asyncmachine.machine`` performs them. Time and ids come in as parameters.
"""
