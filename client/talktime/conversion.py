"""One conversion between messages and the plain values of answers.py, driven by the fields' types.

A value's field takes the message's field of the same name. `X | None` is None where the message has none; a
word this client does not know reads as UNRECOGNIZED, so that a newer service never breaks an older router.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from google.protobuf.message import Message

from talktime.words import UNRECOGNIZED

T = TypeVar("T")
# A descriptor is one class or another, by protobuf's implementation; hence Any for them.
Known = Mapping[str, Any]
Getter = Callable[[Any, Known], Any]


def read(kind: type[T], message: Message, **known: Any) -> T:
    """A message as a value of `kind`; `known` gives the fields that the message lacks, as the id asked about."""
    return _read(kind, message, known)


def write(value: Any, message: Message) -> None:
    """Sets the message's fields from a value's; None leaves a field unset."""
    for field in fields(value):
        content = getattr(value, field.name)
        if isinstance(content, tuple):
            _write_items(content, message, field.name)
        elif isinstance(content, datetime):
            write_instant(content, field.name, getattr(message, field.name))
        elif content is not None:
            setattr(message, field.name, _plain(content, message, field.name))


def write_instant(at: datetime, name: str, stamp: Any) -> None:
    """Sets a Timestamp; ValueError, with the field's name, for a moment of which nobody knows where."""
    if at.tzinfo is None:
        raise ValueError(f"{name}: needs a time zone")
    stamp.FromDatetime(at)


def _write_items(items: tuple[Any, ...], message: Message, name: str) -> None:
    repeated = getattr(message, name)
    for item in items:
        if is_dataclass(item):
            write(item, repeated.add())
        else:
            repeated.append(_plain(item, message, name))


def _plain(content: Any, message: Message, name: str) -> Any:
    """What the field takes: a word's number, or the value itself."""
    enum = _enum_of(message.DESCRIPTOR, name) if isinstance(content, str) else None
    return number_of(content, enum) if enum else content


def number_of(word: str, descriptor: Any) -> int:
    """The number of a word, as "USER_OUT"; ValueError for one that the contract lacks."""
    found = descriptor.values_by_name.get(_prefix(descriptor) + word)
    if found is None or found.number == 0:
        raise ValueError(f"{word!r} is not a {descriptor.name}")
    return int(found.number)


@cache
def _enum_of(message: Any, name: str) -> Any:
    """The enum of a field; None where it is text. Remembered, because a deck asks for every row."""
    return message.fields_by_name[name].enum_type


def _prefix(descriptor: Any) -> str:
    zero: str = descriptor.values_by_number[0].name
    return zero.removesuffix("UNSPECIFIED")


def _read(kind: Callable[..., T], message: Message, known: Known) -> T:
    return kind(
        **{
            name: known[name] if name in known else get(message, known)
            for name, get in _getters(kind)
        }
    )


@cache
def _getters(kind: Any) -> tuple[tuple[str, Getter], ...]:
    hints = get_type_hints(kind)
    return tuple((f.name, _getter(f.name, hints[f.name])) for f in fields(kind))


def _getter(name: str, hint: Any) -> Getter:
    """What reads one field: chosen once per field, so that an answer costs little."""
    optional = get_origin(hint) is UnionType
    inner: Any = get_args(hint)[0] if optional else hint
    if inner is datetime:
        return _instant(name)
    if get_origin(inner) is tuple:
        item = get_args(inner)[0]
        return _many(name, get_args(item)[0] if get_origin(item) is UnionType else item)
    if issubclass(inner, StrEnum):
        return _word(name, inner, None if optional else inner(UNRECOGNIZED))
    if inner in (str, int, bool):
        return _present(name) if optional else lambda message, known: getattr(message, name)
    return _part(name, inner)


def _present(name: str) -> Getter:
    return lambda message, known: getattr(message, name) if message.HasField(name) else None


def _instant(name: str) -> Getter:
    return lambda message, known: (
        getattr(message, name).ToDatetime(tzinfo=UTC) if message.HasField(name) else None
    )


def _many(name: str, kind: Any) -> Getter:
    nested = is_dataclass(kind)
    if nested:
        return lambda message, known: tuple(_read(kind, m, known) for m in getattr(message, name))
    if issubclass(kind, StrEnum):
        return lambda message, known: tuple(
            _word_of(number, kind, message, name) for number in getattr(message, name)
        )
    return lambda message, known: tuple(getattr(message, name))


def _part(name: str, kind: Any) -> Getter:
    return lambda message, known: (
        _read(kind, getattr(message, name), known) if message.HasField(name) else None
    )


def _word(name: str, kind: type[StrEnum], absent: StrEnum | None) -> Getter:
    def get(message: Any, known: Known) -> StrEnum | None:
        number = getattr(message, name)
        return absent if number == 0 else _word_of(number, kind, message, name)

    return get


def _word_of(number: int, kind: type[StrEnum], message: Any, name: str) -> StrEnum:
    words = _words(kind, _enum_of(message.DESCRIPTOR, name))
    return words.get(number) or kind(UNRECOGNIZED)


@cache
def _words(kind: type[StrEnum], descriptor: Any) -> Mapping[int, StrEnum]:
    """The contract's numbers as words; a word that this client lacks is left out."""
    known = {_prefix(descriptor) + word: word for word in kind}
    return {v.number: known[v.name] for v in descriptor.values if v.name in known}
