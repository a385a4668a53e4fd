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

The same without blocking; calls that are under way at the same time share a stream by themselves, many in a message:

    async with AsyncClient("calls.example.net:7788", token) as client:
        legs = await asyncio.gather(
            *(client.authorize("organizer", "CONF_OUT", number) for number in numbers)
        )

Such calls have no order among them. A stream of one's own, `async with client.exchange() as stream`, carries a
tenant's operations out in the order in which they were asked.

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

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
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
from talktime.channel import open_blocking, transport
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
from talktime.reports import CallFilter, UsageRow
from talktime.retry import RetrySettings

P = ParamSpec("P")
T = TypeVar("T")


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
    repeats included) are used where a method is not told otherwise; methods about accounts may take 2 s, reports,
    proofs and the activation of a deck 30 s. With `default_region` numbers may be written as they are dialled
    there; without one they are sent as given. `ca` holds the PEM certificates to trust, or `credentials` a
    channel's own; with neither the connection is plain text.
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
        defaults = defaults_of(tenant_id, timeout_s, default_region)
        self._terms = terms_of(target, token, defaults, transport(ca, credentials), retry)
        self._channel = open_blocking(self._terms)
        self._closed = threading.Event()

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
    list_entries = _listing(account_requests.list_entries)
    check_conservation = _answering(account_requests.check_conservation)
    add_funds = _answering(fund_requests.add_funds)
    adjust_funds = _answering(fund_requests.adjust_funds)
    refund_funds = _answering(fund_requests.refund_funds)
    get_balance = _answering(fund_requests.get_balance)
    set_recharge_rule = _answering(recharge_requests.set_recharge_rule)
    get_recharge_rule = _answering(recharge_requests.get_recharge_rule)
    resume_recharge = _answering(recharge_requests.resume_recharge)
    test_recharge = _answering(recharge_requests.test_recharge)
    list_recharges = _listing(recharge_requests.list_recharges)
    put_notice_settings = _answering(notice_requests.put_notice_settings)
    get_notice_settings = _answering(notice_requests.get_notice_settings)
    put_webhook = _answering(notice_requests.put_webhook)
    rotate_webhook_secret = _answering(notice_requests.rotate_webhook_secret)
    delete_webhook = _answering(notice_requests.delete_webhook)
    list_notices = _listing(notice_requests.list_notices)
    replay_notices = _answering(notice_requests.replay_notices)
    test_notice = _answering(notice_requests.test_notice)
    list_calls = _listing(report_requests.list_calls)
    get_usage_report = _answering(report_requests.get_usage_report)
    get_funding_advice = _answering(report_requests.get_funding_advice)
    get_archive_status = _answering(report_requests.get_archive_status)
    activate_rate_deck = _answering(deck_requests.activate_rate_deck)
    deactivate_rate_deck = _answering(deck_requests.deactivate_rate_deck)
    get_rate_decks = _answering(deck_requests.get_rate_decks)
    get_shadow_report = _answering(deck_requests.get_shadow_report)

    def watch_balance(
        self, tenant_id: str | None = None, *, patience_s: float = PATIENCE_S
    ) -> Iterator[BalanceReading]:
        """Gives a tenant's money now and whenever it changes, at most twice a second, for as long as it is iterated.

        A connection that breaks is made again; Unavailable only after the service was away for `patience_s`.
        """
        flow = fund_requests.watch_balance(self._terms.defaults, tenant_id)
        reopening = Reopening(self._terms.retry, patience_s=patience_s)
        last: BalanceReading | None = None
        while True:
            try:
                with closing(self._flow(flow)) as readings:
                    for reading in readings:
                        reopening.came()
                        if is_news(reading, last):
                            last = reading
                            yield reading
                error = stream_ended()
            except TalktimeError as failed:
                error = failed
            self._pause(reopening.wait_s(error))

    def export_calls(
        self,
        picked: CallFilter | None = None,
        *,
        on_progress: Progress | None = None,
        tenant_id: str | None = None,
        timeout_s: float = EXPORT_TIMEOUT_S,
    ) -> Iterator[UsageRow]:
        """Gives the usage rows of a time, oldest first, as they come; `on_progress` hears (rows used, rows in all).

        One that breaks raises what broke it, and never ends as if it were whole.
        """
        flow = report_requests.export_calls(
            self._terms.defaults, picked or CallFilter(), tenant_id=tenant_id
        )
        reopening, reported = Reopening(self._terms.retry), Reported(on_progress)
        while True:
            try:
                with closing(self._flow(flow, timeout_s)) as parts:
                    for part in parts:
                        reopening.came()
                        yield from part.rows
                        reported.came(part)
                reported.finish()
                return
            except TalktimeError as failed:
                error = failed
            self._pause(reopening.wait_s(error))

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
        self._closed.set()
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
        if self._closed.is_set():
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
            token = next_token(token, page)

    def _flow(self, flow: Flow[T], timeout_s: float | None = None) -> Generator[T, None, None]:
        """One stream's parts, to its end."""
        if self._closed.is_set():
            raise RuntimeError("this client is closed")
        open_stream: Any = self._channel.unary_stream(flow.path)
        body = flow.request.SerializeToString()
        call = open_stream(body, timeout=timeout_s, metadata=self._terms.metadata)
        try:
            for part in call:
                yield flow.answer(part)
        except grpc.RpcError as failed:
            raise error_of_call(failed) from failed
        finally:
            call.cancel()

    def _pause(self, pause_s: float) -> None:
        """Waits; a client that is closed meanwhile waits no longer."""
        if self._closed.wait(pause_s):
            raise closed()
