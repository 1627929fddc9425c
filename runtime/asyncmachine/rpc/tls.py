"""TLS 1.3 for aRPC, by the standard library, always with verification.

::

    Tls(cert="server.pem", key="server.key", ca="clients.pem")      # a server; asks for certificates
    Tls(ca="servers.pem", cert="me.pem", key="me.key")              # a client

Files are read again when they have changed, so certificates can be renewed while a server runs.
"""

from __future__ import annotations

import hashlib
import os
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import anyio

from asyncmachine.errors import RpcError

__all__ = ["ALPN", "Tls", "TlsFailed", "TlsStream", "part", "wrap_client", "wrap_server"]

ALPN: Final = "arpc/2"
CHUNK: Final = 65536
DRAIN: Final = 65536
PARTING: Final = 1.0  # seconds that a peer has to read why its handshake failed


class TlsFailed(anyio.BrokenResourceError):
    """The two sides did not come to trust each other. ``refused``: trying again will not help."""

    def __init__(self, text: str, *, refused: bool = True) -> None:
        super().__init__(text)
        self.refused = refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Certificates, as PEM files.

    Attributes:
        cert, key: our certificate (with its chain) and its private key. A server must have them.
        ca: whom to trust: a client, for servers; a server, for clients. None at a client: what this
            system trusts; at a server: clients are not asked for certificates.
        name: client: the name that the server's certificate must have; None: the host that is connected to.
    """

    cert: str | None = None
    key: str | None = None
    ca: str | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        if (self.cert is None) != (self.key is None):
            raise ValueError(f"Tls has cert {self.cert!r} and key {self.key!r}; give both, or none")

    def server_context(self) -> ssl.SSLContext:
        """Raises :class:`RpcError` for files that cannot be used."""
        if self.cert is None:
            raise RpcError("a server needs Tls.cert and Tls.key")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.num_tickets = 0  # every session is a full handshake
        self._load(context)
        if self.ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client_context(self) -> ssl.SSLContext:
        """Raises :class:`RpcError` for files that cannot be used."""
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=None)
        if self.ca is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # this CA, and none of the system
        self._load(context)
        return context

    def _load(self, context: ssl.SSLContext) -> None:
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.set_alpn_protocols([ALPN])
        try:
            if self.ca is not None:
                context.load_verify_locations(self.ca)
            if self.cert is not None:
                context.load_cert_chain(self.cert, self.key)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            files = ", ".join(repr(f) for f in (self.ca, self.cert, self.key) if f is not None)
            raise RpcError(f"cannot use the TLS files {files}: {error}") from error

    def channel(self) -> bytes:
        """SHA-256 of the certificate that this side shows as a server; b"" without one. Raises OSError."""
        if self.cert is None:
            return b""
        with open(self.cert, encoding="ascii", errors="replace") as file:  # noqa: PTH123 - a path as text
            text = file.read()
        begin = text.index("-----BEGIN CERTIFICATE-----")
        end = text.index("-----END CERTIFICATE-----", begin) + len("-----END CERTIFICATE-----")
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(text[begin:end])).digest()

    def stamp(self) -> tuple[int, ...]:
        """When the files were changed. Raises OSError."""
        return tuple(os.stat(f).st_mtime_ns for f in (self.cert, self.key, self.ca) if f is not None)  # noqa: PTH116


class TlsStream:
    """A byte stream over TLS.

    Attributes:
        channel: SHA-256 of the server's certificate.
        peer_certificate: as ``ssl`` shows it, verified; empty when the peer had none.
    """

    def __init__(self, stream: Any, context: ssl.SSLContext, *, server: bool, name: str | None) -> None:
        self._stream = stream
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=server, server_hostname=name)
        self.channel = b""
        self.peer_certificate: Mapping[str, Any] = {}

    def extra(self, *args: Any) -> Any:
        """Attributes of the stream below, as in anyio."""
        return self._stream.extra(*args)

    async def handshake(self) -> None:
        """Raises :class:`TlsFailed`, after the peer was told why."""
        try:
            await self._until_done(self._tls.do_handshake)
            await self._flush()
        except ssl.SSLError as error:
            await self._flush()
            raise TlsFailed(_reason(error)) from error
        except anyio.EndOfStream:
            raise TlsFailed(
                "the peer closed the connection within the TLS handshake", refused=False
            ) from None
        if self._tls.selected_alpn_protocol() != ALPN:
            raise TlsFailed(f"the peer does not speak {ALPN} over TLS")
        self.peer_certificate = self._tls.getpeercert() or {}
        if not self._tls.server_side:
            self.channel = hashlib.sha256(self._tls.getpeercert(True) or b"").digest()

    async def _until_done(self, step: Callable[[], Any]) -> None:
        while True:
            try:
                step()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._feed()
            else:
                return

    async def _feed(self) -> None:
        self._in.write(await self._stream.receive())

    async def _flush(self) -> None:
        if data := self._out.read():
            await self._stream.send(data)

    async def send(self, item: bytes, /) -> None:
        """See anyio."""
        self._tls.write(item)
        await self._flush()

    async def receive(self) -> bytes:
        """See anyio. What was sent may have been cut off: the protocol above says when it is complete."""
        while True:
            try:
                data = self._tls.read(CHUNK)
            except ssl.SSLWantReadError:
                await self._feed()
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                raise anyio.EndOfStream from None
            except ssl.SSLError as error:
                # In TLS 1.3 a client hears only now what the server thinks of its certificate.
                raise TlsFailed(_reason(error)) from error
            else:
                if not data:
                    raise anyio.EndOfStream
                return data

    async def send_eof(self) -> None:
        """Say that no more will come; receiving goes on."""
        with suppress(ssl.SSLError):
            self._tls.unwrap()
        await self._flush()

    async def aclose(self) -> None:
        """See anyio."""
        await self._stream.aclose()


def _reason(error: ssl.SSLError) -> str:
    """What went wrong, without the place in OpenSSL's source."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the peer's certificate is not accepted: {error.verify_message}"
    reason = (error.reason or str(error)).replace("_", " ").lower()
    if "alert" in reason:
        text = reason.partition("alert ")[2]
        return f"the peer does not accept this side: {text or reason}"
    return f"TLS failed: {reason}"


async def wrap_client(stream: Any, tls: Tls, host: str) -> TlsStream:
    """Begin TLS as a client. Closes *stream* when it fails.

    Raises:
        TlsFailed: with the reason.
        RpcError: the files cannot be used.
    """
    try:
        wrapped = TlsStream(stream, tls.client_context(), server=False, name=tls.name or host)
        await wrapped.handshake()
    except BaseException:
        with anyio.CancelScope(shield=True):
            await stream.aclose()
        raise
    return wrapped


async def wrap_server(stream: Any, context: ssl.SSLContext, channel: bytes) -> TlsStream:
    """Begin TLS as a server. Does not close *stream*: see :func:`part`.

    Args:
        channel: see ``Tls.channel``.

    Raises:
        TlsFailed: with the reason; the peer was told.
    """
    wrapped = TlsStream(stream, context, server=True, name=None)
    await wrapped.handshake()
    wrapped.channel = channel
    return wrapped


async def part(stream: Any) -> None:
    """Wait a little before closing a stream: while the peer sends, its system would drop our alert unread."""
    left = DRAIN
    with anyio.move_on_after(PARTING), suppress(anyio.EndOfStream, anyio.BrokenResourceError, OSError):
        await stream.send_eof()
        while left > 0:
            left -= len(await stream.receive())
