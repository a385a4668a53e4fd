"""The reports of AccountService: calls by page, exports, sums and advice, from the archive."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from google.protobuf.message import Message

from talktime.v1 import account_service_pb2 as pb
from talktime.v1 import authorization_service_pb2 as calls_pb
from talktime_server.archive.advice import Adviser
from talktime_server.archive.clock import Clock, wall_clock_ms
from talktime_server.archive.days import DAY_MS
from talktime_server.archive.reports import Group, Picked, UsageReports
from talktime_server.ledger.directory import Directory
from talktime_server.ledger.ledger import Ledger
from talktime_server.rpc import pages
from talktime_server.rpc.account_methods import READERS, account_method, account_stream
from talktime_server.rpc.decoding import Checks, known_numbers
from talktime_server.rpc.messages import CALL_TYPE_WORDS
from talktime_server.rpc.report_messages import GROUPS, funding_advice, usage_report, usage_row
from talktime_server.rpc.shapes import REPORT_TIMEOUT_S, Identity, Method, Role, Stream

USUAL_DAYS = 30  # of sums and exports that name no beginning
MOST_DAYS = 366  # that reports look back (domain.md 7)
# The first and the last second that a Timestamp may name.
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799
_MAX_NANOS = 999_999_999
_CALL_TYPES = known_numbers(calls_pb.CallType)
_GROUPS = known_numbers(pb.UsageGroup)


class Reports:
    """The handlers. `now_ms` only bounds what is looked at; what is found has the store's times."""

    def __init__(
        self,
        *,
        directory: Directory,
        reports: UsageReports,
        advice: Adviser,
        ledger: Ledger,
        now_ms: Clock = wall_clock_ms,
    ) -> None:
        self._directory = directory
        self._reports = reports
        self._advice = advice
        self._ledger = ledger
        self._now_ms = now_ms

    def methods(self) -> list[Method]:
        """The rows for the edge's table."""
        return [
            account_method(
                "ListCalls",
                pb.ListCallsRequest,
                READERS,
                self._list_calls,
                timeout_s=REPORT_TIMEOUT_S,
            ),
            account_method(
                "GetUsageReport",
                pb.GetUsageReportRequest,
                READERS,
                self._sums,
                timeout_s=REPORT_TIMEOUT_S,
            ),
            account_method(
                "GetFundingAdvice",
                pb.GetFundingAdviceRequest,
                READERS,
                self._advise,
                timeout_s=REPORT_TIMEOUT_S,
            ),
        ]

    def streams(self) -> list[Stream]:
        """The streams for the edge's table."""
        return [account_stream("ExportCalls", pb.ExportCallsRequest, READERS, self._export)]

    async def _list_calls(self, request: pb.ListCallsRequest, identity: Identity) -> Message:
        checks = Checks()
        tenant_id = checks.tenant("tenant_id", request.tenant_id, identity)
        count = checks.page_size("page_size", request.page_size)
        picked = self._picked(checks, request.filter, MOST_DAYS)
        checks.done()
        tenant = await self._directory.fresh_tenant(tenant_id)
        key, token = await self._directory.page_key(), request.page_token
        after = pages.read(key, tenant_id, "ListCalls", token) if token else ""
        rows, position = await self._reports.page(
            tenant_id, tenant.country, picked, after=after, count=count
        )
        return pb.ListCallsResponse(
            rows=[usage_row(row) for row in rows],
            next_page_token=pages.make(key, tenant_id, "ListCalls", position) if position else "",
        )

    async def _sums(self, request: pb.GetUsageReportRequest, identity: Identity) -> Message:
        checks = Checks()
        group = GROUPS.get(request.group, Group.DAY)
        checks.enum("group", request.group, _GROUPS, required=False)
        picked = self._picked(checks, request.filter, USUAL_DAYS)
        # Only who runs the service sees beyond one tenant, and only what each came to.
        across = group is Group.TENANT and not request.tenant_id
        if across and identity.role is Role.OPERATOR:
            checks.done()
            tenants = None if identity.all_tenants else sorted(identity.tenants)
            return usage_report(await self._reports.sums(tenants, picked, group), group)
        tenant_id = checks.tenant("tenant_id", request.tenant_id, identity)
        checks.done()
        await self._directory.fresh_tenant(tenant_id)
        return usage_report(await self._reports.sums([tenant_id], picked, group), group)

    async def _export(
        self, request: pb.ExportCallsRequest, identity: Identity
    ) -> AsyncGenerator[Message, None]:
        checks = Checks()
        tenant_id = checks.tenant("tenant_id", request.tenant_id, identity)
        picked = self._picked(checks, request.filter, USUAL_DAYS)
        checks.done()
        tenant = await self._directory.fresh_tenant(tenant_id)
        async with aclosing(self._reports.export(tenant_id, tenant.country, picked)) as parts:
            async for part in parts:
                rows = [usage_row(row) for row in part.rows]
                yield pb.ExportCallsResponse(rows=rows, row_count=part.row_count)

    async def _advise(self, request: pb.GetFundingAdviceRequest, identity: Identity) -> Message:
        checks = Checks()
        tenant_id = checks.tenant("tenant_id", request.tenant_id, identity)
        checks.done()
        tenant = await self._directory.fresh_tenant(tenant_id)
        available = (await self._ledger.balance(tenant)).money.available_micros
        advice = await self._advice.advise(tenant_id, available, tenant.currency)
        return funding_advice(advice, tenant.currency)

    def _picked(self, checks: Checks, asked: pb.CallFilter, usual_days: int) -> Picked:
        """Which rows a filter means; without a beginning, those of so many days."""
        now_ms = self._now_ms()
        end_ms = _instant_ms(checks, asked, "end_time")
        start_ms = _instant_ms(checks, asked, "start_time")
        oldest_ms = now_ms - MOST_DAYS * DAY_MS
        if start_ms is None:
            last_ms = now_ms if end_ms is None else min(end_ms, now_ms)
            start_ms = max(last_ms - usual_days * DAY_MS, oldest_ms)
        elif start_ms < oldest_ms:
            text = f"is more than {MOST_DAYS} days ago"
            checks.blame("filter.start_time", "OUT_OF_RANGE", text)
        elif end_ms is not None and end_ms <= start_ms:
            checks.blame("filter.end_time", "OUT_OF_RANGE", "is not after start_time")
        checks.id("filter.payer_id", asked.payer_id, required=False)
        checks.enum("filter.call_type", asked.call_type, _CALL_TYPES, required=False)
        if asked.country:
            checks.country("filter.country", asked.country)
        checks.id("filter.capability", asked.capability, required=False)
        word = CALL_TYPE_WORDS.get(asked.call_type, "")
        end_ms = _LAST_SECOND * 1000 if end_ms is None else end_ms
        return Picked(start_ms, end_ms, asked.payer_id, word, asked.country, asked.capability)


def _instant_ms(checks: Checks, asked: pb.CallFilter, name: str) -> int | None:
    """An instant of a filter; None when it is not given. One between two milliseconds is the later."""
    if not asked.HasField(name):  # type: ignore[arg-type]  # the stub lists the names as literals
        return None
    instant = getattr(asked, name)
    checks.within(f"filter.{name}.seconds", instant.seconds, _FIRST_SECOND, _LAST_SECOND)
    checks.within(f"filter.{name}.nanos", instant.nanos, 0, _MAX_NANOS)
    return int(instant.seconds) * 1000 - -int(instant.nanos) // 1_000_000
