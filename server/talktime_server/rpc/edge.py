"""The edge: what is the same for every call on every engine. Identity, limits, decoding, errors.

The order of the checks is a promise. Metadata is measured before anything is looked up; nobody holds
a slot before the whole message is read and the token known; an emergency call passes right after its
message is read, whatever else would have refused it; and nothing waits in a queue.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from contextlib import aclosing, contextmanager
from functools import partial
from itertools import chain
from typing import Any

from google.protobuf.message import Message

from talktime_server.failure import (
    Applied,
    Code,
    Failure,
    Forbidden,
    NotServed,
    TooMuch,
    Unauthenticated,
)
from talktime_server.rpc.deadline import MAX_TIMEOUT_S, Deadlines, remaining_s
from talktime_server.rpc.decoding import decode
from talktime_server.rpc.limiter import RETRY_AFTER_S, Limiter, Limits
from talktime_server.rpc.refusals import Refusals
from talktime_server.rpc.replies import reply_of
from talktime_server.rpc.shapes import (
    EVERY_ROLE,
    Draining,
    Identity,
    Incoming,
    Lane,
    Method,
    Reply,
    Role,
    Stream,
    Visit,
)
from talktime_server.rpc.tokens import Tokens, nobody

__all__ = [
    "EVERY_ROLE",
    "Edge",
    "Identity",
    "Incoming",
    "Lane",
    "Method",
    "Reply",
    "Role",
    "Stream",
    "Visit",
]

MAX_METADATA_BYTES = 8 * 1024
MAX_METADATA_ENTRIES = 64

_ANYONE = Identity("", Role.AUDITOR)
_OK = Code.OK


class Edge:
    """Takes calls from an engine, lets in what may pass, and answers every one of them."""

    def __init__(
        self,
        methods: Iterable[Method],
        streams: Iterable[Stream] = (),
        *,
        tokens: Tokens,
        limits: Limits | None = None,
        refusals: Refusals | None = None,
    ) -> None:
        limits = limits or Limits()
        self._methods = {method.path: (method, _names_tenant(method)) for method in methods}
        self._streams = {stream.path: stream for stream in streams}
        self._tokens = tokens
        self._refusals = refusals or Refusals()
        most, most_per_tenant = limits.in_flight, limits.in_flight_per_tenant
        self._limiter = Limiter(most, most_per_tenant, limits.kept_percent)
        self._most_streams = limits.streams
        self._open_streams = 0
        self._listeners = Limiter(limits.streams, limits.streams_per_tenant, 0)
        self._deadlines = Deadlines()
        self._draining = asyncio.Event()
        self._refusing = False

    @property
    def in_flight(self) -> int:
        """Unary calls with a handler, and open streams: 0 when a draining process may stop."""
        return self._limiter.in_flight + self._open_streams

    def streaming(self, path: str) -> bool:
        """Whether this path is a stream: then the engine calls `exchange`, else `unary`."""
        return path in self._streams

    def one_question(self, path: str) -> bool:
        """Whether this path is a stream whose caller sends one message and then listens."""
        return path in self._streams and self._streams[path].one_question

    async def unary(self, call: Incoming) -> Reply:
        """Answers one call; never raises but CancelledError."""
        who, applied = "", Applied.NOT_APPLIED
        try:
            _measure(call.metadata)
            method, names_tenant = self._methods.get(call.path) or _unknown_method()
            identity = _ANYONE if method.anonymous else self._identify(call.metadata)
            who = identity.name
            request = _admitted(call, method, identity)
            if method.passes_first and (passing := method.passes_first(request, identity)):
                response = await self._deadlines.within(passing, MAX_TIMEOUT_S, Applied.UNKNOWN)
                return Reply(_OK, "", response.SerializeToString())
            if self._refusing:
                raise Draining.now()
            _check_role(identity, method.roles, method.anonymous)
            tenant = _tenant_of(request, identity) if names_tenant else ""
            left_s = remaining_s(call.timeout_s, method.timeout_s)
            applied = Applied.UNKNOWN if method.writes else applied
            response = await self._answer(method, request, identity, tenant, left_s)
            return Reply(_OK, "", response.SerializeToString())
        except Failure as failure:
            self._refusals.failed(call.path, failure, who)
            return reply_of(failure)
        except Exception as error:  # The outermost wrapper: no bug's text may leave.
            return reply_of(self._refusals.broken(call.path, error, who, applied))

    async def exchange(
        self, call: Incoming, messages: AsyncIterator[bytes]
    ) -> AsyncGenerator[bytes, None]:
        """Answers any stream (Exchange, health Watch, reflection).

        It raises only Failure, to end with its status.
        """
        who = ""
        try:
            _measure(call.metadata)
            stream = self._streams.get(call.path) or _unknown_method()
            identity = _ANYONE if stream.anonymous else self._identify(call.metadata)
            who = identity.name
            _check_role(identity, stream.roles, stream.anonymous)
            self._enter_stream(stream)
            confirm = partial(self._confirm, call, stream, identity)
            visit = Visit(
                identity, call.peer, call.timeout_s, self._draining, self._counted, confirm
            )
            try:
                async with aclosing(stream.serve(messages, visit)) as answers:
                    async for answer in answers:
                        yield answer
            finally:
                self._open_streams -= 1
        except Failure as failure:
            self._refusals.failed(call.path, failure, who)
            raise
        except Exception as error:  # As in unary.
            raise self._refusals.broken(call.path, error, who, Applied.UNKNOWN) from None

    def drain(self) -> None:
        """Asks every stream to answer what it has read and to end with UNAVAILABLE (DRAINING)."""
        self._draining.set()

    def refuse_new(self) -> None:
        """From now on answers every new unary call with UNAVAILABLE (DRAINING), but calls for help."""
        self._refusing = True

    def _identify(self, metadata: tuple[tuple[bytes, bytes], ...]) -> Identity:
        headers = [value for name, value in metadata if name == b"authorization"]
        # Envoy joins what came twice with a comma, which no token has.
        if len(headers) == 1 and b"," not in headers[0]:
            return self._tokens.identify(headers[0])
        if headers:
            raise Unauthenticated("AMBIGUOUS_CREDENTIALS", "authorization is given more than once")
        raise nobody()

    def _confirm(self, call: Incoming, stream: Stream, identity: Identity) -> None:
        """A stream lives long: a token that was taken back, or changed, ends it at its next message."""
        if not stream.anonymous and self._identify(call.metadata) != identity:
            raise Unauthenticated("TOKEN_CHANGED", "the token's rights have changed; reconnect")

    async def _answer(
        self, method: Method, request: Any, identity: Identity, tenant: str, left_s: float
    ) -> Message:
        applied = Applied.UNKNOWN if method.writes else Applied.NOT_APPLIED
        limited = method.lane is not Lane.FREE
        if limited:
            self._limiter.enter(tenant, method.lane)
        try:
            work = method.answer(request, identity, left_s)
            return await self._deadlines.within(work, left_s, applied)
        finally:
            if limited:
                self._limiter.leave(tenant)

    @contextmanager
    def _counted(self, tenant: str) -> Iterator[None]:
        self._listeners.enter(tenant, Lane.ORDINARY)
        try:
            yield
        finally:
            self._listeners.leave(tenant)

    def _enter_stream(self, stream: Stream) -> None:
        if self._draining.is_set() and not stream.anonymous:
            raise Draining.now()
        if self._open_streams >= self._most_streams:
            raise TooMuch("OVERLOADED", "too many streams are open", retry_after_s=RETRY_AFTER_S)
        self._open_streams += 1


def _measure(metadata: tuple[tuple[bytes, bytes], ...]) -> None:
    """Our own check: the libraries' starts only once the peer has acknowledged their settings."""
    too_many = len(metadata) > MAX_METADATA_ENTRIES
    if too_many or sum(map(len, chain.from_iterable(metadata))) > MAX_METADATA_BYTES:
        text = f"metadata is over {MAX_METADATA_BYTES} bytes or {MAX_METADATA_ENTRIES} entries"
        raise TooMuch("METADATA_TOO_LARGE", text)


def _admitted(call: Incoming, method: Method, identity: Identity) -> Message:
    """The decoded request. Where emergency calls must pass first, the role is checked after them."""
    if method.passes_first is None:
        _check_role(identity, method.roles, method.anonymous)
    if len(call.body) > method.body_cap:
        raise TooMuch("MESSAGE_TOO_LARGE", f"the message is over {method.body_cap} bytes")
    return decode(method.request, call.body)


def _check_role(identity: Identity, roles: frozenset[Role], anonymous: bool) -> None:
    if identity.role not in roles and not anonymous:
        raise Forbidden("ROLE_FORBIDDEN", "the token's role may not do this")


def _tenant_of(request: Any, identity: Identity) -> str:
    """The tenant to count the call for. A missing one is the handler's to refuse."""
    asked: str = request.tenant_id
    return identity.tenant(asked) if asked else identity.only_tenant


def _names_tenant(method: Method) -> bool:
    return "tenant_id" in method.request.DESCRIPTOR.fields_by_name


def _unknown_method() -> Any:
    raise NotServed("UNKNOWN_METHOD", "there is no such method")
