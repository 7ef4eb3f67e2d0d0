"""What the published stubs of `tls` leave out. Source: MicroPython documentation, library "ssl" (tls is its C part)."""

from socket import socket as _Socket
from typing import Any

PROTOCOL_TLS_CLIENT: int
PROTOCOL_TLS_SERVER: int
PROTOCOL_DTLS_CLIENT: int
PROTOCOL_DTLS_SERVER: int
CERT_NONE: int
CERT_OPTIONAL: int
CERT_REQUIRED: int
MBEDTLS_VERSION: str

class SSLContext:
    verify_mode: int
    verify_callback: Any
    def __init__(self, protocol: int, /) -> None: ...
    def load_cert_chain(self, cert: bytes | str, key: bytes | str, /) -> None: ...
    def load_verify_locations(self, cadata: bytes | str, /) -> None: ...
    def get_ciphers(self) -> list[str]: ...
    def set_ciphers(self, ciphers: list[str], /) -> None: ...
    def wrap_socket(
        self,
        sock: Any,
        /,
        *,
        server_side: bool = ...,
        do_handshake_on_connect: bool = ...,
        server_hostname: str | None = ...,
        client_id: bytes | None = ...,
    ) -> _TLSSocket: ...

class _TLSSocket(_Socket):
    def getpeercert(self, binary_form: bool, /) -> bytes: ...
    def cipher(self) -> tuple[str, str]: ...
