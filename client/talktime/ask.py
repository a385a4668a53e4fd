"""A request and how its answer is read: what both clients, blocking and not, and the stream have in common.

call_requests.py and account_requests.py build them; neither waits nor sends.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, update_wrapper
from typing import Any, Generic, TypeVar, get_args

from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from talktime import conversion
from talktime.errors import malformed_answer
from talktime.numbers import normalize

T = TypeVar("T")

# The service refuses a call that may take longer.
MAX_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a client adds to each request that does not say otherwise."""

    tenant_id: str
    timeout_s: float
    region: str | None

    def tenant(self, asked: str | None) -> str:
        """The tenant to send."""
        return self.tenant_id if asked is None else asked

    def number(self, text: str) -> str:
        """The number to send: E.164 where a default region says how to read it, else as given."""
        return normalize(text, self.region) if self.region and text else text

    def limit_s(self, asked_s: float | None) -> float:
        """How long a request about a call may take."""
        return self.timeout_s if asked_s is None else timeout_of(asked_s)


@dataclass(frozen=True, slots=True)
class Ask(Generic[T]):
    """One request: where it goes, what it says, how its answer is read, and how long it may take."""

    path: str
    request: Message
    response: type[Message]
    read: Callable[[Any], T]
    timeout_s: float
    call_id: str = ""

    def answer(self, body: bytes) -> T:
        """The answer in these bytes."""
        return self.answer_in(_decoded(self.response, body))

    def answer_in(self, message: Message) -> T:
        """The answer in this message."""
        return _understood(self.read, message)


@dataclass(frozen=True, slots=True)
class Flow(Generic[T]):
    """One request that is answered by a stream: where it goes, what it says, and how each part is read."""

    path: str
    request: Message
    response: type[Message]
    read: Callable[[Any], T]

    def answer(self, body: bytes) -> T:
        """The part in these bytes."""
        return _understood(self.read, _decoded(self.response, body))


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some items of a list, and what asks for the next ones."""

    items: tuple[T, ...]
    next_page_token: str


Pages = Callable[[str], Ask[Page[T]]]


def timeout_of(timeout_s: float) -> float:
    """A timeout that the service accepts; ValueError for another."""
    if not 0 < timeout_s <= MAX_TIMEOUT_S:
        raise ValueError(f"timeout_s: above 0 and at most {MAX_TIMEOUT_S}")
    return timeout_s


def ask(
    request: Message, read: Callable[[Any], T], timeout_s: float = MAX_TIMEOUT_S, call_id: str = ""
) -> Ask[T]:
    """The Ask of a request; the contract says which method takes it and what that answers."""
    kind: Any = type(request)
    path, response = _method(kind)
    return Ask(path, request, response, read, timeout_s, call_id)


def flow(request: Message, read: Callable[[Any], T]) -> Flow[T]:
    """The Flow of a request, as `ask` makes an Ask."""
    kind: Any = type(request)
    path, response = _method(kind)
    return Flow(path, request, response, read)


def reading(kind: type[T], field: str | None = None, **known: Any) -> Callable[[Any], T]:
    """Reads an answer, or the one field of it that matters, as a value."""
    if field is None:
        return lambda message: conversion.read(kind, message, **known)
    return lambda message: conversion.read(kind, getattr(message, field), **known)


def reading_page(kind: type[T], field: str) -> Callable[[Any], Page[T]]:
    """Reads one page of a list."""
    return lambda message: Page(
        tuple(conversion.read(kind, item) for item in getattr(message, field)),
        message.next_page_token,
    )


def method_of(build: Callable[..., Any], method: Callable[..., Any]) -> None:
    """Lets `help` show a client's method as what it is: the builder's text and arguments, with the answer itself."""
    update_wrapper(method, build)
    signature = inspect.signature(build)
    answered = get_args(signature.return_annotation)
    _, *arguments = signature.parameters.values()
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    method.__dict__["__signature__"] = signature.replace(
        parameters=[own, *arguments],
        return_annotation=answered[0] if len(answered) == 1 else inspect.Signature.empty,
    )


def _decoded(kind: type[Message], body: bytes) -> Message:
    try:
        return kind.FromString(body)
    except DecodeError:
        raise malformed_answer(f"not a {kind.DESCRIPTOR.name}") from None


def _understood(read: Callable[[Any], T], message: Message) -> T:
    try:
        return read(message)
    except (ValueError, OverflowError):
        # An instant beyond the calendar, for one.
        raise malformed_answer("a value is out of its range") from None


@cache
def _method(request: Any) -> tuple[str, type[Message]]:
    """The path and the response of the one method that takes this request: XRequest belongs to the RPC X."""
    name = request.DESCRIPTOR.name.removesuffix("Request")
    (service,) = request.DESCRIPTOR.file.services_by_name.values()
    response = GetMessageClass(service.methods_by_name[name].output_type)
    return f"/{service.full_name}/{name}", response
