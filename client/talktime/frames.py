"""The bytes of an ExchangeRequest, made of operations that were made bytes when they were asked.

A message of many operations is then their bytes one after the other, and an operation that is sent again costs
nothing more. Protobuf's encoding is fixed for ever: a field is its tag, its length where it has one, and its bytes.
"""

from collections.abc import Iterable

from talktime.v1 import authorization_service_pb2 as pb

_NUMBER, _BYTES = 0, 2
_SEVEN_BITS = 0x7F
_MORE = 0x80


_SHORT = tuple(bytes((number,)) for number in range(_MORE))


def _varint(number: int) -> bytes:
    """A number, not below 0, in groups of seven bits, the lowest first."""
    if number < _MORE:
        return _SHORT[number]
    groups = bytearray()
    while number > _SEVEN_BITS:
        groups.append(number & _SEVEN_BITS | _MORE)
        number >>= 7
    groups.append(number)
    return bytes(groups)


def _tag(message: type[pb.ExchangeRequest | pb.Operation], field: str, kind: int) -> bytes:
    return _varint(message.DESCRIPTOR.fields_by_name[field].number << 3 | kind)


_OPERATIONS = _tag(pb.ExchangeRequest, "operations", _BYTES)
_CORRELATION_ID = _tag(pb.Operation, "correlation_id", _NUMBER)
_KINDS = {
    field: _tag(pb.Operation, field, _BYTES)
    for field in ("authorize", "extend", "settle", "release")
}


def operation(kind: str, correlation_id: int, request: bytes) -> bytes:
    """One operation as it stands in a message; `kind` is its field's name, `correlation_id` not below 0."""
    mark = _CORRELATION_ID + _varint(correlation_id)
    content = mark + _KINDS[kind] + _varint(len(request)) + request
    return _OPERATIONS + _varint(len(content)) + content


def message(operations: Iterable[bytes]) -> bytes:
    """An ExchangeRequest."""
    return b"".join(operations)
