"""TLS on a stand-in's connections. Apart from `sockets`: few need it, and ssl costs 5 MB."""

from __future__ import annotations

import os
import socket
import ssl


class TlsSocket(ssl.SSLSocket):
    """Says "not yet" as a plain socket does. The handshake is part of the first read."""

    def recv(self, buflen: int = 65536, flags: int = 0) -> bytes:
        try:
            return super().recv(buflen, flags)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as error:
            raise BlockingIOError from error

    def send(self, data: bytes, flags: int = 0) -> int:  # type: ignore[override]
        try:
            return super().send(data, flags)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as error:
            raise BlockingIOError from error


def server_context(pem: str) -> ssl.SSLContext:
    """For servers with this certificate and key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sslsocket_class = TlsSocket
    file = os.memfd_create("tls")  # ssl can only read files
    try:
        os.write(file, pem.encode())
        context.load_cert_chain(f"/proc/self/fd/{file}")
    finally:
        os.close(file)
    return context


def wrapped(context: ssl.SSLContext, accepted: socket.socket) -> socket.socket:
    accepted.setblocking(False)
    return context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
