"""aRPC: one machine exposed to peers, which hold a mirror of it.

Import from the modules: :mod:`asyncmachine.rpc.server`, :mod:`asyncmachine.rpc.client`,
:mod:`asyncmachine.rpc.acl`, :mod:`asyncmachine.rpc.config`. This package imports none of them, so that
the pure :mod:`asyncmachine.rpc.protocol` can be used without an event loop.
"""
