"""A few HTTP/2 frames by hand: what no honest client would send."""

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

DATA, HEADERS, RESET, SETTINGS, PING, GO_AWAY = 0, 1, 3, 4, 6, 7
END_STREAM, END_HEADERS, ACK = 1, 4, 1

Frame = tuple[int, int, int, bytes]


class Wire:
    """One connection, of which every byte is the test's."""

    def __init__(self, peer: socket.socket) -> None:
        self._peer = peer
        self._file = peer.makefile("rb")
        peer.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        self.send(SETTINGS, 0, 0, b"")

    def send(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        """Sends one frame."""
        head = struct.pack(">I", len(payload))[1:] + bytes((kind, flags))
        self._peer.sendall(head + struct.pack(">I", stream) + payload)

    def call(self, stream: int, path: str, flags: int = END_HEADERS) -> None:
        """Opens a gRPC call, without its message."""
        headers = {":path": path, ":authority": "test", "content-type": "application/grpc"}
        literal = b"".join(b"\0" + _text(n) + _text(v) for n, v in headers.items())
        # 0x83 and 0x86 are POST and http in HPACK's own table.
        self.send(
            HEADERS, flags, stream, b"\x83\x86" + literal + b"\0" + _text("te") + _text("trailers")
        )

    def frames(self) -> Iterator[Frame]:
        """What comes back, until the connection ends; TimeoutError when nothing comes in time."""
        while len(head := self._file.read(9)) == 9:
            size = int.from_bytes(head[:3], "big")
            payload = self._file.read(size)
            if head[3] == SETTINGS and not head[4] & ACK:
                self.send(SETTINGS, ACK, 0, b"")
            yield head[3], head[4], int.from_bytes(head[5:9], "big"), payload

    def until_over(self, stream: int) -> list[Frame]:
        """The frames of a stream until it has ended or was reset; all there were if the connection ended."""
        seen = []
        for frame in self.frames():
            if frame[2] == stream:
                seen.append(frame)
                if frame[0] == RESET or (frame[0] in (DATA, HEADERS) and frame[1] & END_STREAM):
                    break
        return seen


@contextmanager
def connected(address: str, patience_s: float) -> Iterator[Wire]:
    """A connection whose peer may be silent for so long."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=patience_s) as peer:
        yield Wire(peer)


def _text(text: str) -> bytes:
    raw = text.encode()
    assert len(raw) < 127
    return bytes([len(raw)]) + raw
