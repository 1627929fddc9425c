"""Bytes on a wire: frames and a strict subset of CBOR. Pure: no I/O, no clock."""
