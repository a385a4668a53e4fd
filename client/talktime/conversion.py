"""One conversion between messages and the plain values of answers.py, driven by the fields' types.

A value's field takes the message's field of the same name. `X | None` is None where the message has none; a
word this client does not know reads as UNRECOGNIZED, so that a newer service never breaks an older router.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache
from operator import attrgetter
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from talktime.words import UNRECOGNIZED

T = TypeVar("T")
# A descriptor is one class or another, by protobuf's implementation; hence Any for them.
Known = Mapping[str, Any]
# Makes a field's value of what the message has there; some need the message, some what is known beside it.
Refine = Callable[[Any, Any, Known], Any]
Reader = Callable[[Any, Known], Any]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NANOS_PER_SECOND = 1_000_000_000


def read(kind: type[T], message: Message, **known: Any) -> T:
    """A message as a value of `kind`; `known` gives the fields that the message lacks, as the id asked about."""
    # Neither class is a Hashable to mypy; hence Any.
    classes: tuple[Any, Any] = kind, type(message)
    value: T = _reader(*classes, tuple(known))(message, known)
    return value


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


@cache
def _reader(kind: Any, message: Any, known: tuple[str, ...]) -> Reader:
    """What makes values of one kind of message. All that is worked out here is worked out once, so that an answer
    costs little: its fields are taken out all at once, and only those that need it are refined one by one."""
    names = [f.name for f in fields(kind)]
    hints = get_type_hints(kind)
    there = [name for name in names if name not in known]
    refines = {name: _refine(name, hints[name], message.DESCRIPTOR, known) for name in there}
    refined = [(place, r) for place, name in enumerate(names) if (r := refines.get(name))]
    added = [(place, name) for place, name in enumerate(names) if name in known]
    take = _taker(there)

    def reader(message: Any, known: Known) -> Any:
        values = [*take(message)]
        for place, name in added:
            values.insert(place, known[name])
        for place, refine in refined:
            values[place] = refine(values[place], message, known)
        return kind(*values)

    return reader if refined or added else lambda message, known: kind(*take(message))


def _taker(names: list[str]) -> Callable[[Any], Iterable[Any]]:
    take = attrgetter(*names)
    return take if len(names) > 1 else lambda message: (take(message),)


def _refine(name: str, hint: Any, message: Any, known: tuple[str, ...]) -> Refine | None:
    """What makes a field's value of what the message has; None where that is the value already."""
    optional = get_origin(hint) is UnionType
    inner: Any = get_args(hint)[0] if optional else hint
    if inner is datetime:
        return _where_set(name, lambda stamp, _, __: _instant(stamp))
    if get_origin(inner) is tuple:
        item = get_args(inner)[0]
        kind = get_args(item)[0] if get_origin(item) is UnionType else item
        return _many(name, kind, message, known)
    if issubclass(inner, StrEnum):
        return _word(inner, None if optional else inner(UNRECOGNIZED), _enum_of(message, name))
    if inner in (str, int, bool):
        return _where_set(name, lambda value, _, __: value) if optional else None
    read = _reader(inner, _class_of(message, name), known)
    return _where_set(name, lambda part, _, known: read(part, known))


def _class_of(message: Any, name: str) -> Any:
    return GetMessageClass(message.fields_by_name[name].message_type)


def _where_set(name: str, refine: Refine) -> Refine:
    """None where the message has none."""
    return lambda value, message, known: (
        refine(value, message, known) if message.HasField(name) else None
    )


def _instant(stamp: Any) -> datetime:
    """Timestamp.ToDatetime does the same, and takes three times as long."""
    if not 0 <= stamp.nanos < _NANOS_PER_SECOND:
        raise ValueError("nanos: below a second")
    return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)


def _many(name: str, kind: Any, message: Any, known: tuple[str, ...]) -> Refine:
    if isinstance(kind, type) and is_dataclass(kind):
        read = _reader(kind, _class_of(message, name), known)
        return lambda items, _, known: tuple([read(item, known) for item in items])
    if issubclass(kind, StrEnum):
        word = _word(kind, kind(UNRECOGNIZED), _enum_of(message, name))
        return lambda numbers, _, known: tuple([word(number, _, known) for number in numbers])
    return lambda items, _, __: tuple(items)


def _word(kind: type[StrEnum], absent: StrEnum | None, descriptor: Any) -> Refine:
    """The contract's numbers as words; one that this client does not know is UNRECOGNIZED."""
    prefix, unknown = _prefix(descriptor), kind(UNRECOGNIZED)
    known = {prefix + word: word for word in kind}
    words = {0: absent} | {v.number: known[v.name] for v in descriptor.values if v.name in known}
    return lambda number, _, __: words.get(number, unknown)
