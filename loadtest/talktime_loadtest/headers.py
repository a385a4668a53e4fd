"""Header blocks of HTTP/2 (RFC 7541), as far as a load generator needs them.

Ours are written once per connection. Of the peer's, the status of the call is read. The peer is told
to remember no headers: then a block's meaning depends on its bytes alone, and each is read only once.
"""

from functools import lru_cache

# The code of each character stands in the standard's order: by length, then by character.
_CODES = (
    (5, 0x0, "012aceiost"),
    (6, 0x14, " %-./3456789=A_bdfghlmnpru"),
    (7, 0x5C, ":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    (8, 0xF8, "&*,;XZ"),
    (10, 0x3F8, '!"()?'),
    (11, 0x7FA, "'+|"),
    (12, 0xFFA, "#>"),
    (13, 0x1FF9, "$@[]~"),
    (14, 0x3FFC, "^}"),
    (15, 0x7FFC, "<`{"),
)
_CHARACTERS = {
    (length, first + place): character
    for length, first, characters in _CODES
    for place, character in enumerate(characters)
}
# The rows of the standard's own table that a response uses: the statuses.
_STATUSES = {8: "200", 9: "204", 10: "206", 11: "304", 12: "400", 13: "404", 14: "500"}
_FIRST_REMEMBERED = 62
_STATUS_ROWS = range(8, 15)
_ROWS = 61


class BadBlock(Exception):
    """A header block that the peer should not have sent."""


def header_block(path: str, authority: str, fields: dict[str, str]) -> bytes:
    """The headers of every call of a connection; names in lower case."""
    own = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": authority,
        "te": "trailers",
        "content-type": "application/grpc",
    }
    return b"".join(_literal(name.encode(), text.encode()) for name, text in (own | fields).items())


@lru_cache(maxsize=4096)
def read_block(block: bytes) -> dict[str, str]:
    """The fields of a block that tell how a call came out: `:status`, `grpc-status`, `grpc-message`.

    Of other fields the name alone may be lost, where it stands in the standard's table.
    """
    fields: dict[str, str] = {}
    at = 0
    while at < len(block):
        first = block[at]
        if first & 0x80:
            row, at = _whole(block, at, 7)
            if row >= _FIRST_REMEMBERED:
                raise BadBlock("it names a header that nobody was to remember")
            if row in _STATUSES:
                fields[":status"] = _STATUSES[row]
        elif first & 0xE0 == 0x20:
            _, at = _whole(block, at, 5)
        else:
            name, text, at = _field(block, at, 6 if first & 0x40 else 4)
            fields[name] = text
    return fields


def _field(block: bytes, at: int, bits: int) -> tuple[str, str, int]:
    row, at = _whole(block, at, bits)
    if row > _ROWS:
        raise BadBlock("it names a header that nobody was to remember")
    if row:
        name = ":status" if row in _STATUS_ROWS else f"#{row}"
    else:
        name, at = _text(block, at)
    text, at = _text(block, at)
    return name, text, at


def _text(block: bytes, at: int) -> tuple[str, int]:
    if at >= len(block):
        raise BadBlock("it ends too early")
    packed = block[at] & 0x80
    length, at = _whole(block, at, 7)
    raw = block[at : at + length]
    return (_unpacked(raw) if packed else raw.decode("latin-1")), at + length


def _unpacked(raw: bytes) -> str:
    found: list[str] = []
    code = length = 0
    for byte in raw:
        for place in range(7, -1, -1):
            code, length = code << 1 | byte >> place & 1, length + 1
            character = _CHARACTERS.get((length, code))
            if character is not None:
                found.append(character)
                code = length = 0
    return "".join(found)


def _whole(block: bytes, at: int, bits: int) -> tuple[int, int]:
    most = (1 << bits) - 1
    number = block[at] & most
    at += 1
    if number < most:
        return number, at
    shift = 0
    while at < len(block):
        number += (block[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if not block[at - 1] & 0x80:
            return number, at
    raise BadBlock("it ends too early")


def _literal(name: bytes, text: bytes) -> bytes:
    """A header that the peer is told not to remember."""
    return b"\x00" + _length(len(name)) + name + _length(len(text)) + text


def _length(length: int) -> bytes:
    if length < 0x7F:
        return bytes([length])
    length -= 0x7F
    written = bytearray([0x7F])
    while length >= 0x80:
        written.append(length & 0x7F | 0x80)
        length >>= 7
    written.append(length)
    return bytes(written)
