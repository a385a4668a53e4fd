"""One HTTP/2 request in bytes of our own making, for headers that no library lets out."""

import socket
from collections.abc import Iterable, Iterator

TIMEOUT_S = 3.0
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _GOAWAY = 0, 1, 3, 4, 7
_END_STREAM, _END_HEADERS = 1, 4
_STREAM = 1

Headers = Iterable[tuple[bytes, bytes]]


def post(address: str, path: str, headers: Headers, body: bytes) -> bytes:
    """Sends one gRPC request; returns the answer's body, empty where the call was refused, reset or cut off."""
    host, _, port = address.rpartition(":")
    pseudo = ((b":method", b"POST"), (b":scheme", b"http"), (b":path", path.encode()))
    usual = (
        (b":authority", b"talktime"),
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
    )
    block = b"".join(_literal(name, value) for name, value in (*pseudo, *usual, *headers))
    framed = b"\0" + len(body).to_bytes(4, "big") + body
    with socket.create_connection((host, int(port)), timeout=TIMEOUT_S) as peer:
        peer.sendall(
            _PREFACE
            + _frame(_SETTINGS, 0, 0, b"")
            + _frame(_HEADERS, _END_HEADERS, _STREAM, block)
            + _frame(_DATA, _END_STREAM, _STREAM, framed)
        )
        return b"".join(_answer(peer))


def _answer(peer: socket.socket) -> Iterator[bytes]:
    """The data of the stream, until it ends one way or another."""
    try:
        while True:
            head = _exactly(peer, 9)
            size, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
            content = _exactly(peer, size)
            if kind == _DATA:
                yield content
            if kind in (_RESET, _GOAWAY) or (kind in (_DATA, _HEADERS) and flags & _END_STREAM):
                return
    except ConnectionError:
        return


def _exactly(peer: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        if not (chunk := peer.recv(count - len(found))):
            raise ConnectionError
        found += chunk
    return found


def _frame(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    head = len(content).to_bytes(3, "big") + bytes((kind, flags))
    return head + stream.to_bytes(4, "big") + content


def _literal(name: bytes, value: bytes) -> bytes:
    """A header that the table of neither side remembers."""
    return b"\0" + _text(name) + _text(value)


def _text(text: bytes) -> bytes:
    return _number(len(text)) + text


def _number(number: int) -> bytes:
    """HPACK's integer with a prefix of seven bits."""
    if number < 127:
        return bytes((number,))
    found, number = [127], number - 127
    while number >= 128:
        found.append(number % 128 + 128)
        number //= 128
    return bytes((*found, number))
