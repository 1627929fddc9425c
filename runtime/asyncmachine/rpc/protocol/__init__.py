"""The protocol without I/O: bytes and ``now`` in; events, bytes and the next deadline out.

:class:`~asyncmachine.rpc.protocol.connection.Connection` is all a transport needs; the wire is
described in ``docs/spec/wire.md``.
"""
