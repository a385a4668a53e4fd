"""The two clients of talktime: `Client` blocks, `AsyncClient` awaits; they differ in nothing else.

Ask whether a call may start, extend it while it runs, and settle it when it ends:

    from talktime import Client

    with Client("calls.example.net:7788", token) as client:
        call = client.authorize("alice", "USER_OUT", "+442079460018")
        if not call.authorized:
            print("refused:", call.reason)
        else:
            more = client.extend(call.call_id, sequence=1, additional_seconds=600)
            receipt = client.settle(call.call_id, duration_seconds=754)
            print("charged:", receipt.charged_micros)

The same without blocking; a bridge that asks about many calls at once puts them on one stream:

    async with AsyncClient("calls.example.net:7788", token) as client:
        async with client.exchange() as stream:
            legs = await asyncio.gather(
                *(stream.authorize("organizer", "CONF_OUT", number) for number in numbers)
            )

A refusal is an answer. A failure is a TalktimeError, which says whether the operation was applied; see
errors.py. Only an unavailable service is asked again, with the same id, within `timeout_s`; see retry.py.

When the service cannot be asked, the router decides, and should do so by rule:

- An emergency call is placed, always, without waiting: send `authorize` beside it, not before it.
- Any other call: refuse it, or let it run within what the operator allows offline. Either way keep its id and fields.
- A settle that cannot be delivered is written to disk and sent later with the same id and, if the authorize
  never came through, with the call's fields (`call=CallFields(...)`): it charges once, however often and late it
  comes.

One client serves all threads, or all tasks of one event loop. Make it after a fork, never before. A blocking
call holds its thread for `timeout_s` at most, so a router with N workers can put through at least N / timeout_s
calls a second.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import grpc

from talktime import account_requests, call_requests, deck_requests
from talktime.ask import Ask, Defaults, Page, Pages, method_of, timeout_of
from talktime.channel import (
    Terms,
    asked_to_stop,
    bearer,
    open_asynchronous,
    open_blocking,
    transport,
)
from talktime.decks import RateRow
from talktime.errors import closed, error_of_call, malformed_answer
from talktime.numbers import check_region
from talktime.pipeline import MAX_IN_FLIGHT, Exchange
from talktime.retry import RetryBudget, RetrySettings

P = ParamSpec("P")
T = TypeVar("T")
Progress = Callable[[int, int], None]

# Longer than a router's caller should wait for a decision, and shorter than the service's own limit.
DEFAULT_TIMEOUT_S = 0.25


def _answering(
    build: Callable[Concatenate[Defaults, P], Ask[T]],
) -> "Callable[Concatenate[Client, P], T]":
    def method(self: "Client", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._answer(build(self._terms.defaults, *args, **kwargs))

    method_of(build, method)
    return method


def _listing(
    build: Callable[Concatenate[Defaults, P], Pages[T]],
) -> "Callable[Concatenate[Client, P], Iterator[T]]":
    def method(self: "Client", /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return self._items(build(self._terms.defaults, *args, **kwargs))

    method_of(build, method)
    return method


class Client:
    """Asks talktime and blocks until the answer is there. One client serves all threads.

    `target` is host:port; several addresses as gRPC takes them. `tenant_id` and `timeout_s` (at most 2 s,
    repeats included) are used where a method is not told otherwise; methods about accounts may take 2 s. With
    `default_region` numbers may be written as they are dialled there; without one they are sent as given. `ca`
    holds the PEM certificates to trust, or `credentials` a channel's own; with neither the connection is plain
    text.
    """

    def __init__(
        self,
        target: str,
        token: str,
        *,
        tenant_id: str = "",
        timeout_s: float = DEFAULT_TIMEOUT_S,
        default_region: str | None = None,
        ca: bytes | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        retry: RetrySettings | None = None,
    ) -> None:
        defaults = _defaults(tenant_id, timeout_s, default_region)
        self._terms = _terms(target, token, defaults, transport(ca, credentials), retry)
        self._channel = open_blocking(self._terms)
        self._closed = False

    authorize = _answering(call_requests.authorize)
    authorize_batch = _answering(call_requests.authorize_batch)
    extend = _answering(call_requests.extend)
    settle = _answering(call_requests.settle)
    release = _answering(call_requests.release)
    quote = _answering(call_requests.quote)
    get_call = _answering(call_requests.get_call)

    put_tenant = _answering(account_requests.put_tenant)
    get_tenant = _answering(account_requests.get_tenant)
    list_tenants = _listing(account_requests.list_tenants)
    suspend_tenant = _answering(account_requests.suspend_tenant)
    resume_tenant = _answering(account_requests.resume_tenant)
    put_payer = _answering(account_requests.put_payer)
    get_payer = _answering(account_requests.get_payer)
    list_payers = _listing(account_requests.list_payers)
    put_payers = _answering(account_requests.put_payers)
    block_payer = _answering(account_requests.block_payer)
    unblock_payer = _answering(account_requests.unblock_payer)
    list_blocks = _listing(account_requests.list_blocks)
    assign_licenses = _answering(account_requests.assign_licenses)
    add_funds = _answering(account_requests.add_funds)
    get_balance = _answering(account_requests.get_balance)
    list_entries = _listing(account_requests.list_entries)
    check_conservation = _answering(account_requests.check_conservation)
    activate_rate_deck = _answering(deck_requests.activate_rate_deck)
    deactivate_rate_deck = _answering(deck_requests.deactivate_rate_deck)
    get_rate_decks = _answering(deck_requests.get_rate_decks)
    get_shadow_report = _answering(deck_requests.get_shadow_report)

    def put_rate_deck(
        self,
        deck_version: str,
        currency_code: str,
        rows: Iterable[RateRow],
        *,
        on_progress: Progress | None = None,
    ) -> int:
        """Stores a deck in parts, and returns how many rows are stored; `on_progress` hears (rows sent, rows in
        all)."""
        upload = deck_requests.put_rate_deck(
            self._terms.defaults, deck_version, currency_code, rows
        )
        stored = sent = 0
        for ask, count in upload.parts:
            stored = self._answer(ask)
            sent += count
            if on_progress:
                on_progress(sent, upload.row_count)
        return stored

    def close(self) -> None:
        """Closes the connection; calls under way end with Cancelled."""
        self._closed = True
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _answer(self, ask: Ask[T]) -> T:
        if self._closed:
            raise RuntimeError("this client is closed")
        body = ask.request.SerializeToString()
        attempts = self._terms.attempts(ask)

        def attempt() -> T:
            send: Any = self._channel.unary_unary(ask.path)
            try:
                answer = send(body, timeout=attempts.begin(), metadata=self._terms.metadata)
            except grpc.RpcError as error:
                raise attempts.failed(error_of_call(error)) from error
            return attempts.read(lambda: ask.answer(answer))

        return attempts.blocking()(attempt)

    def _items(self, pages: Pages[T]) -> Iterator[T]:
        token: str | None = ""
        while token is not None:
            page = self._answer(pages(token))
            yield from page.items
            token = _next_token(token, page)


def _awaiting(
    build: Callable[Concatenate[Defaults, P], Ask[T]],
) -> "Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]":
    async def method(self: "AsyncClient", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._answer(build(self._terms.defaults, *args, **kwargs))

    method_of(build, method)
    return method


def _listing_async(
    build: Callable[Concatenate[Defaults, P], Pages[T]],
) -> "Callable[Concatenate[AsyncClient, P], AsyncIterator[T]]":
    def method(self: "AsyncClient", /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        return self._items(build(self._terms.defaults, *args, **kwargs))

    method_of(build, method)
    return method


class AsyncClient:
    """Asks talktime from an event loop: takes what `Client` takes, and its methods are to be awaited.

    It may be made anywhere, and belongs to the event loop that uses it first.
    """

    def __init__(
        self,
        target: str,
        token: str,
        *,
        tenant_id: str = "",
        timeout_s: float = DEFAULT_TIMEOUT_S,
        default_region: str | None = None,
        ca: bytes | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        retry: RetrySettings | None = None,
    ) -> None:
        defaults = _defaults(tenant_id, timeout_s, default_region)
        self._terms = _terms(target, token, defaults, transport(ca, credentials), retry)
        self._channel: grpc.aio.Channel | None = None
        self._closed = False

    authorize = _awaiting(call_requests.authorize)
    authorize_batch = _awaiting(call_requests.authorize_batch)
    extend = _awaiting(call_requests.extend)
    settle = _awaiting(call_requests.settle)
    release = _awaiting(call_requests.release)
    quote = _awaiting(call_requests.quote)
    get_call = _awaiting(call_requests.get_call)

    put_tenant = _awaiting(account_requests.put_tenant)
    get_tenant = _awaiting(account_requests.get_tenant)
    list_tenants = _listing_async(account_requests.list_tenants)
    suspend_tenant = _awaiting(account_requests.suspend_tenant)
    resume_tenant = _awaiting(account_requests.resume_tenant)
    put_payer = _awaiting(account_requests.put_payer)
    get_payer = _awaiting(account_requests.get_payer)
    list_payers = _listing_async(account_requests.list_payers)
    put_payers = _awaiting(account_requests.put_payers)
    block_payer = _awaiting(account_requests.block_payer)
    unblock_payer = _awaiting(account_requests.unblock_payer)
    list_blocks = _listing_async(account_requests.list_blocks)
    assign_licenses = _awaiting(account_requests.assign_licenses)
    add_funds = _awaiting(account_requests.add_funds)
    get_balance = _awaiting(account_requests.get_balance)
    list_entries = _listing_async(account_requests.list_entries)
    check_conservation = _awaiting(account_requests.check_conservation)
    activate_rate_deck = _awaiting(deck_requests.activate_rate_deck)
    deactivate_rate_deck = _awaiting(deck_requests.deactivate_rate_deck)
    get_rate_decks = _awaiting(deck_requests.get_rate_decks)
    get_shadow_report = _awaiting(deck_requests.get_shadow_report)

    async def put_rate_deck(
        self,
        deck_version: str,
        currency_code: str,
        rows: Iterable[RateRow],
        *,
        on_progress: Progress | None = None,
    ) -> int:
        """Stores a deck in parts, and returns how many rows are stored; `on_progress` hears (rows sent, rows in
        all)."""
        upload = deck_requests.put_rate_deck(
            self._terms.defaults, deck_version, currency_code, rows
        )
        stored = sent = 0
        for ask, count in upload.parts:
            stored = await self._answer(ask)
            sent += count
            if on_progress:
                on_progress(sent, upload.row_count)
        return stored

    def exchange(self, *, max_in_flight: int = MAX_IN_FLIGHT) -> Exchange:
        """A stream for many operations at once, to be entered with `async with`."""
        return Exchange(self._terms, self._open, max_in_flight=max_in_flight)

    async def close(self) -> None:
        """Closes the connection; calls under way end with Cancelled."""
        self._closed = True
        if self._channel is not None:
            await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def _open(self) -> grpc.aio.Channel:
        """The connection, made at its first use, because gRPC ties it to the loop that runs then."""
        if self._closed:
            raise RuntimeError("this client is closed")
        if self._channel is None:
            self._channel = open_asynchronous(self._terms)
        return self._channel

    async def _answer(self, ask: Ask[T]) -> T:
        channel = self._open()
        body = ask.request.SerializeToString()
        attempts = self._terms.attempts(ask)

        async def attempt() -> T:
            send: Any = channel.unary_unary(ask.path)
            try:
                answer = await send(body, timeout=attempts.begin(), metadata=self._terms.metadata)
            except grpc.RpcError as error:
                raise attempts.failed(error_of_call(error)) from error
            except asyncio.CancelledError:
                if asked_to_stop():
                    raise
                # Nobody cancelled the task: the channel was closed below it.
                raise attempts.failed(closed()) from None
            return attempts.read(lambda: ask.answer(answer))

        return await attempts.asynchronous()(attempt)

    async def _items(self, pages: Pages[T]) -> AsyncIterator[T]:
        token: str | None = ""
        while token is not None:
            page = await self._answer(pages(token))
            for item in page.items:
                yield item
            token = _next_token(token, page)


def _defaults(tenant_id: str, timeout_s: float, region: str | None) -> Defaults:
    if region is not None:
        check_region(region)
    return Defaults(tenant_id, timeout_of(timeout_s), region)


def _terms(
    target: str,
    token: str,
    defaults: Defaults,
    secured: grpc.ChannelCredentials | None,
    retry: RetrySettings | None,
) -> Terms:
    settings = retry or RetrySettings()
    return Terms(target, secured, bearer(token), defaults, settings, RetryBudget(settings))


def _next_token(token: str, page: Page[T]) -> str | None:
    """What asks for the next page, None at the end. A page that leads to itself would never end."""
    if not page.next_page_token:
        return None
    if page.next_page_token == token:
        raise malformed_answer("a page leads to itself")
    return page.next_page_token
