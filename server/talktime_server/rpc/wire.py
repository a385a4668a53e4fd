"""Why bytes are not a message: finds the first fault, slowly; it only runs after the library said no.

The library says that parsing failed and nothing else. A router engineer needs to know whether a field
held text that is not UTF-8 (and which field), or the bytes are garbage.
"""

from dataclasses import dataclass
from typing import cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

MAX_DEPTH = 100
MAX_VARINT_BYTES = 10
MAX_FIELD_NUMBER = (1 << 29) - 1
_VARINT, _FIXED64, _BYTES, _GROUP, _GROUP_END, _FIXED32 = range(6)
_FIXED = {_FIXED64: 8, _FIXED32: 4}


@dataclass(frozen=True, slots=True)
class Fault:
    """A rule's name, the field it broke where that is known, and a sentence."""

    rule: str
    field: str
    text: str


class _Found(Exception):
    """Carries the first fault out of the walk."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.rule)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class _Frame:
    """A message or group that is being read; `kind` is None where the contract does not know it."""

    kind: Descriptor | None
    end: int
    group: int
    path: str


def first_fault(body: bytes, kind: type[Message]) -> Fault:
    """The first fault of bytes that could not be read as `kind`."""
    try:
        # The C library's own descriptor class has the same face.
        _walk(body, cast(Descriptor, kind.DESCRIPTOR))
    except _Found as found:
        return found.fault
    return _malformed().fault


def _walk(body: bytes, kind: Descriptor) -> None:
    at, stack = 0, [_Frame(kind, len(body), 0, "")]
    while stack:
        frame = stack[-1]
        if at == frame.end:
            if frame.group:
                raise _malformed()
            stack.pop()
        else:
            at = _field(body, at, stack)


def _field(body: bytes, at: int, stack: list[_Frame]) -> int:
    """Reads one field of the innermost frame, enters or leaves frames, and returns where to go on."""
    frame = stack[-1]
    tag, at = _varint(body, at, frame.end)
    number, wire = tag >> 3, tag & 7
    if not 1 <= number <= MAX_FIELD_NUMBER:
        raise _malformed()
    if wire == _VARINT:
        return _varint(body, at, frame.end)[1]
    if wire in _FIXED:
        return _within(at + _FIXED[wire], frame.end)
    if wire == _BYTES:
        size, at = _varint(body, at, frame.end)
        return _sized(body, at, _within(at + size, frame.end), number, stack)
    if wire == _GROUP:
        _enter(stack, _Frame(None, frame.end, number, frame.path))
        return at
    if wire == _GROUP_END and frame.group == number:
        stack.pop()
        return at
    raise _malformed()


def _sized(body: bytes, at: int, end: int, number: int, stack: list[_Frame]) -> int:
    kind, path = stack[-1].kind, stack[-1].path
    field = kind.fields_by_number.get(number) if kind else None
    if field is None:
        return end
    name = f"{path}{field.name}"
    if field.type == FieldDescriptor.TYPE_STRING:
        _check_text(body[at:end], name)
    elif field.type == FieldDescriptor.TYPE_MESSAGE:
        _enter(stack, _Frame(field.message_type, end, 0, f"{name}."))
        return at
    return end


def _enter(stack: list[_Frame], frame: _Frame) -> None:
    if len(stack) >= MAX_DEPTH:
        text = f"messages are nested more than {MAX_DEPTH} deep"
        raise _Found(Fault("TOO_DEEP", "", text))
    stack.append(frame)


def _check_text(text: bytes, name: str) -> None:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        raise _Found(Fault("INVALID_UTF8", name, "is not valid UTF-8")) from None


def _varint(body: bytes, at: int, end: int) -> tuple[int, int]:
    value = 0
    for index in range(MAX_VARINT_BYTES):
        if at + index >= end:
            break
        byte = body[at + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, at + index + 1
    raise _malformed()


def _within(at: int, end: int) -> int:
    if at > end:
        raise _malformed()
    return at


def _malformed() -> _Found:
    return _Found(Fault("MALFORMED_MESSAGE", "", "the message cannot be read"))
