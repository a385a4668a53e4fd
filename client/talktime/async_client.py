"""The client for event loops: takes what `Client` takes, and its methods are to be awaited. client.py says how to use
both."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterable
from contextlib import aclosing
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import grpc

from talktime import (
    account_requests,
    call_requests,
    deck_requests,
    fund_requests,
    notice_requests,
    recharge_requests,
    report_requests,
)
from talktime.ask import Ask, Defaults, Flow, Pages, method_of
from talktime.batching import Batches
from talktime.channel import asked_to_stop, open_asynchronous, transport
from talktime.decks import RateRow
from talktime.errors import TalktimeError, closed, error_of_call
from talktime.faces import (
    DEFAULT_TIMEOUT_S,
    EXPORT_TIMEOUT_S,
    PATIENCE_S,
    Progress,
    Reopening,
    Reported,
    defaults_of,
    is_news,
    next_token,
    stream_ended,
    terms_of,
)
from talktime.funds import BalanceReading
from talktime.pipeline import MAX_IN_FLIGHT, Exchange
from talktime.reports import CallFilter, UsageRow
from talktime.retry import Attempts, RetrySettings

P = ParamSpec("P")
T = TypeVar("T")


def _awaiting(
    build: Callable[Concatenate[Defaults, P], Ask[T]],
) -> "Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]":
    async def method(self: "AsyncClient", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._answer(build(self._terms.defaults, *args, **kwargs))

    method_of(build, method)
    return method


def _batching(
    build: Callable[Concatenate[Defaults, P], Ask[T]],
) -> "Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]":
    """Those that may share a stream."""

    async def method(self: "AsyncClient", /, *args: P.args, **kwargs: P.kwargs) -> T:
        ask = build(self._terms.defaults, *args, **kwargs)
        if self._batches is None:
            return await self._answer(ask)
        self._open()
        return await self._batches.answer(ask)

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

    It may be made anywhere, and belongs to the event loop that uses it first. Calls that are under way at the same
    time (authorize, extend, settle, release) share a stream, many in a message; batching.py has the rules. With
    `batching=False` each is an RPC of its own, as a proxy that spreads calls over services may want it.
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
        batching: bool = True,
    ) -> None:
        defaults = defaults_of(tenant_id, timeout_s, default_region)
        self._terms = terms_of(target, token, defaults, transport(ca, credentials), retry)
        self._channel: grpc.aio.Channel | None = None
        self._batches = Batches(self._terms, self._open, self._alone) if batching else None
        self._closed = False

    authorize = _batching(call_requests.authorize)
    authorize_batch = _awaiting(call_requests.authorize_batch)
    extend = _batching(call_requests.extend)
    settle = _batching(call_requests.settle)
    release = _batching(call_requests.release)
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
    list_entries = _listing_async(account_requests.list_entries)
    check_conservation = _awaiting(account_requests.check_conservation)
    add_funds = _awaiting(fund_requests.add_funds)
    adjust_funds = _awaiting(fund_requests.adjust_funds)
    refund_funds = _awaiting(fund_requests.refund_funds)
    get_balance = _awaiting(fund_requests.get_balance)
    set_recharge_rule = _awaiting(recharge_requests.set_recharge_rule)
    get_recharge_rule = _awaiting(recharge_requests.get_recharge_rule)
    resume_recharge = _awaiting(recharge_requests.resume_recharge)
    test_recharge = _awaiting(recharge_requests.test_recharge)
    list_recharges = _listing_async(recharge_requests.list_recharges)
    put_notice_settings = _awaiting(notice_requests.put_notice_settings)
    get_notice_settings = _awaiting(notice_requests.get_notice_settings)
    put_webhook = _awaiting(notice_requests.put_webhook)
    rotate_webhook_secret = _awaiting(notice_requests.rotate_webhook_secret)
    delete_webhook = _awaiting(notice_requests.delete_webhook)
    list_notices = _listing_async(notice_requests.list_notices)
    replay_notices = _awaiting(notice_requests.replay_notices)
    test_notice = _awaiting(notice_requests.test_notice)
    list_calls = _listing_async(report_requests.list_calls)
    get_usage_report = _awaiting(report_requests.get_usage_report)
    get_funding_advice = _awaiting(report_requests.get_funding_advice)
    get_archive_status = _awaiting(report_requests.get_archive_status)
    activate_rate_deck = _awaiting(deck_requests.activate_rate_deck)
    deactivate_rate_deck = _awaiting(deck_requests.deactivate_rate_deck)
    get_rate_decks = _awaiting(deck_requests.get_rate_decks)
    get_shadow_report = _awaiting(deck_requests.get_shadow_report)

    async def watch_balance(
        self, tenant_id: str | None = None, *, patience_s: float = PATIENCE_S
    ) -> AsyncIterator[BalanceReading]:
        """Gives a tenant's money now and whenever it changes, at most twice a second, for as long as it is iterated.

        A connection that breaks is made again; Unavailable only after the service was away for `patience_s`.
        """
        flow = fund_requests.watch_balance(self._terms.defaults, tenant_id)
        reopening = Reopening(self._terms.retry, patience_s=patience_s)
        last: BalanceReading | None = None
        while True:
            try:
                async with aclosing(self._flow(flow)) as readings:
                    async for reading in readings:
                        reopening.came()
                        if is_news(reading, last):
                            last = reading
                            yield reading
                error = stream_ended()
            except TalktimeError as failed:
                error = failed
            await asyncio.sleep(reopening.wait_s(error))

    async def export_calls(
        self,
        picked: CallFilter | None = None,
        *,
        on_progress: Progress | None = None,
        tenant_id: str | None = None,
        timeout_s: float = EXPORT_TIMEOUT_S,
    ) -> AsyncIterator[UsageRow]:
        """Gives the usage rows of a time, oldest first, as they come; `on_progress` hears (rows used, rows in all).

        One that breaks raises what broke it, and never ends as if it were whole.
        """
        flow = report_requests.export_calls(
            self._terms.defaults, picked or CallFilter(), tenant_id=tenant_id
        )
        reopening, reported = Reopening(self._terms.retry), Reported(on_progress)
        while True:
            try:
                async with aclosing(self._flow(flow, timeout_s)) as parts:
                    async for part in parts:
                        reopening.came()
                        for row in part.rows:
                            yield row
                        reported.came(part)
                reported.finish()
                return
            except TalktimeError as failed:
                error = failed
            await asyncio.sleep(reopening.wait_s(error))

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
        if self._batches is not None:
            await self._batches.stop()
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
        return await self._alone(ask, self._terms.attempts(ask))

    async def _alone(self, ask: Ask[T], attempts: Attempts) -> T:
        """Asks by the RPC of its own."""
        channel = self._open()
        body = ask.request.SerializeToString()

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
            token = next_token(token, page)

    async def _flow(self, flow: Flow[T], timeout_s: float | None = None) -> AsyncGenerator[T, None]:
        """One stream's parts, to its end."""
        open_stream: Any = self._open().unary_stream(flow.path)
        body = flow.request.SerializeToString()
        call = open_stream(body, timeout=timeout_s, metadata=self._terms.metadata)
        try:
            async for part in call:
                yield flow.answer(part)
        except grpc.RpcError as failed:
            raise error_of_call(failed) from failed
        except asyncio.CancelledError:
            if asked_to_stop():
                raise
            raise closed() from None
        finally:
            call.cancel()
