"""The reports as AccountService answers them: who may ask, what is refused, and parts at the caller's pace."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from ledger.world import World
from reports.kit import UNIT, put_line, put_rows, usage
from rpc.edge_kit import details
from talktime.v1 import account_service_pb2 as pb
from talktime_server.archive.advice import Adviser, Smallest
from talktime_server.archive.database import Database
from talktime_server.archive.days import DAY_MS
from talktime_server.archive.reports import UsageReports
from talktime_server.failure import Code, Failure
from talktime_server.rpc import token_file
from talktime_server.rpc.account_methods import SERVICE
from talktime_server.rpc.edge import Edge
from talktime_server.rpc.reports import Reports
from talktime_server.rpc.shapes import Incoming, Reply, Role
from talktime_server.rpc.tokens import Tokens

NOW_MS = 20_778 * DAY_MS + 3_600_000  # 2026-11-21 01:00


@dataclass(slots=True)
class Desk:
    """The reports of one tenant behind an edge, and a token of each kind."""

    edge: Edge
    database: Database
    tenant_id: str
    tokens: dict[str, str]

    async def ask(self, name: str, request: Any, token: str = "operator") -> Reply:
        return await self.edge.unary(self._call(name, request.SerializeToString(), token))

    async def read(
        self, name: str, request: Any, kind: type[Message], token: str = "operator"
    ) -> Any:
        reply = await self.ask(name, request, token)
        assert reply.code is Code.OK, reply.message
        return kind.FromString(reply.body)

    async def export(self, request: pb.ExportCallsRequest) -> AsyncIterator[pb.ExportCallsResponse]:
        done = asyncio.Event()

        async def messages() -> AsyncIterator[bytes]:
            yield request.SerializeToString()
            await done.wait()

        async for body in self.edge.exchange(
            self._call("ExportCalls", b"", "operator"), messages()
        ):
            yield pb.ExportCallsResponse.FromString(body)
        done.set()

    async def put(self, *made: dict[str, Any]) -> None:
        await put_rows(self.database, [{**row, "tenant_id": self.tenant_id} for row in made])

    def _call(self, name: str, body: bytes, token: str) -> Incoming:
        bearer = (b"authorization", f"Bearer {self.tokens[token]}".encode())
        return Incoming(SERVICE + name, (bearer,), body, None, "test")


@pytest_asyncio.fixture
async def desk(world: World, database: Database, tmp_path: Path) -> Desk:
    path, tenant_id = tmp_path / "tokens", world.tenant.tenant_id
    adviser = Adviser(database, Smallest(50 * UNIT, 50 * UNIT), now_ms=lambda: NOW_MS)
    reports = Reports(
        directory=world.directory,
        reports=UsageReports(database),
        advice=adviser,
        ledger=world.ledger,
        now_ms=lambda: NOW_MS,
    )
    tokens = {
        "operator": token_file.create(path, role=Role.OPERATOR, tenants=["*"], name="o"),
        "admin": token_file.create(path, role=Role.ADMIN, tenants=[tenant_id], name="a"),
        "router": token_file.create(path, role=Role.ROUTER, tenants=["*"], name="r"),
    }
    edge = Edge(reports.methods(), reports.streams(), tokens=Tokens(path))
    return Desk(edge, database, tenant_id, tokens)


def at(ms: int) -> Timestamp:
    return Timestamp(seconds=ms // 1000, nanos=ms % 1000 * 1_000_000)


async def test_calls_come_page_by_page(desk: Desk) -> None:
    await desk.put(*(usage(n, NOW_MS - n * DAY_MS) for n in range(1, 6)))
    token, told = "", []
    for _ in range(3):
        request = pb.ListCallsRequest(page_size=2, page_token=token)
        answer = await desk.read("ListCalls", request, pb.ListCallsResponse, "admin")
        told += [row.call_id for row in answer.rows]
        token = answer.next_page_token
    assert (told, token) == ([f"call-{n}" for n in range(1, 6)], "")


async def test_a_row_says_all_that_the_contract_names(desk: Desk) -> None:
    await desk.put(usage(1, NOW_MS - 5_000, conference_id="party"))
    answer = await desk.read("ListCalls", pb.ListCallsRequest(), pb.ListCallsResponse, "admin")
    [row] = answer.rows
    assert row.end_time == at(NOW_MS - 5_000)
    assert (row.caller_id, row.destination_number) == ("+12025550100", "+442071838750")
    assert (row.user_display_name, row.conference_id) == ("=Ann+1", "party")
    assert (row.connection_fee_micros, row.charge_micros) == (5_000, 20_000)
    unset = {field.name for field in row.DESCRIPTOR.fields} - {f.name for f, _ in row.ListFields()}
    assert unset == {"postpaid", "pool_seconds", "pool_id"}


async def test_sums_and_exports_look_back_thirty_days_and_pages_a_year(desk: Desk) -> None:
    await desk.put(*(usage(n, NOW_MS - n * DAY_MS) for n in (29, 31, 365, 367)))
    await put_line(desk.database, 1, desk.tenant_id)
    sums = await desk.read(
        "GetUsageReport", pb.GetUsageReportRequest(), pb.GetUsageReportResponse, "admin"
    )
    assert [line.calls for line in sums.lines] == [1]
    parts = [part async for part in desk.export(pb.ExportCallsRequest(tenant_id=desk.tenant_id))]
    assert [row.call_id for part in parts for row in part.rows] == ["call-29"]
    pages = await desk.read("ListCalls", pb.ListCallsRequest(), pb.ListCallsResponse, "admin")
    assert [row.call_id for row in pages.rows] == ["call-29", "call-31", "call-365"]
    year = pb.CallFilter(start_time=at(NOW_MS - 366 * DAY_MS))
    request = pb.GetUsageReportRequest(filter=year)
    sums = await desk.read("GetUsageReport", request, pb.GetUsageReportResponse, "admin")
    assert sums.totals[0].calls == 3


async def test_an_export_comes_in_parts_the_first_of_which_says_how_many(desk: Desk) -> None:
    await desk.put(*(usage(n, NOW_MS - DAY_MS - n) for n in range(1_200)))
    await put_line(desk.database, 1, desk.tenant_id)
    request = pb.ExportCallsRequest(tenant_id=desk.tenant_id)
    parts = [part async for part in desk.export(request)]
    assert all(0 < len(part.rows) <= 500 for part in parts)
    assert [part.row_count for part in parts] == [1_200, *[0] * (len(parts) - 1)]
    assert sum(len(part.rows) for part in parts) == 1_200


async def test_who_asks_across_tenants_is_an_operator(desk: Desk) -> None:
    await desk.put(usage(1, NOW_MS - DAY_MS))
    request = pb.GetUsageReportRequest(group=pb.USAGE_GROUP_TENANT)
    sums = await desk.read("GetUsageReport", request, pb.GetUsageReportResponse)
    assert desk.tenant_id in [line.key for line in sums.lines]
    own = await desk.read("GetUsageReport", request, pb.GetUsageReportResponse, "admin")
    assert [line.key for line in own.lines] == [desk.tenant_id]
    others = pb.GetUsageReportRequest(tenant_id="other", group=pb.USAGE_GROUP_TENANT)
    assert (await desk.ask("GetUsageReport", others, "admin")).code is Code.PERMISSION_DENIED
    assert (await desk.ask("GetUsageReport", others)).code is Code.NOT_FOUND
    assert (
        await desk.ask("ListCalls", pb.ListCallsRequest(), "router")
    ).code is Code.PERMISSION_DENIED


@pytest.mark.parametrize(
    ("request_", "field", "rule"),
    [
        (pb.ListCallsRequest(page_size=-1), "page_size", "OUT_OF_RANGE"),
        (pb.ListCallsRequest(page_token="c2VjcmV0"), "page_token", "BAD_PAGE_TOKEN"),
        (pb.CallFilter(payer_id="se cret"), "filter.payer_id", "BAD_CHARSET"),
        (pb.CallFilter(country="secret"), "filter.country", "BAD_CHARSET"),
        (pb.CallFilter(capability="s" * 65), "filter.capability", "TOO_LONG"),
        (pb.CallFilter(call_type=99), "filter.call_type", "UNKNOWN_ENUM"),  # type: ignore[arg-type]  # that is the point
        (pb.CallFilter(start_time=Timestamp(seconds=1)), "filter.start_time", "OUT_OF_RANGE"),
        (
            pb.CallFilter(start_time=at(NOW_MS - 5), end_time=at(NOW_MS - 5)),
            "filter.end_time",
            "OUT_OF_RANGE",
        ),
        (
            pb.CallFilter(end_time=Timestamp(seconds=2**60)),
            "filter.end_time.seconds",
            "OUT_OF_RANGE",
        ),
        (pb.CallFilter(end_time=Timestamp(nanos=-1)), "filter.end_time.nanos", "OUT_OF_RANGE"),
    ],
    ids=str,
)
async def test_what_is_wrong_is_named_and_never_repeated(
    desk: Desk, request_: Any, field: str, rule: str
) -> None:
    if isinstance(request_, pb.CallFilter):
        request_ = pb.ListCallsRequest(filter=request_)
    reply = await desk.ask("ListCalls", request_, "admin")
    assert reply.code is Code.INVALID_ARGUMENT
    info, bad, _ = details(reply)
    assert (info.reason, [violation.field for violation in bad.field_violations]) == (rule, [field])
    assert b"secret" not in reply.status_details
    assert "secret" not in reply.message


async def test_a_page_token_is_good_for_its_tenant_alone(desk: Desk, world: World) -> None:
    await desk.put(usage(1, NOW_MS - DAY_MS), usage(2, NOW_MS - DAY_MS))
    request = pb.ListCallsRequest(page_size=1)
    token = (await desk.read("ListCalls", request, pb.ListCallsResponse, "admin")).next_page_token
    other = await world.directory.put_tenant(world.tenant_like(f"{desk.tenant_id}-other"))
    asked = pb.ListCallsRequest(tenant_id=other.tenant_id, page_token=token)
    assert (await desk.ask("ListCalls", asked)).code is Code.INVALID_ARGUMENT


async def test_an_archive_that_is_away_is_said_to_be(desk: Desk, tmp_path: Path) -> None:
    await desk.database.close()
    _put_a_folder_in_the_way(tmp_path)
    for name, request in (
        ("ListCalls", pb.ListCallsRequest()),
        ("GetUsageReport", pb.GetUsageReportRequest()),
        ("GetFundingAdvice", pb.GetFundingAdviceRequest()),
    ):
        reply = await desk.ask(name, request, "admin")
        assert (reply.code, details(reply)[0].reason) == (Code.UNAVAILABLE, "ARCHIVE_AWAY")
    with pytest.raises(Failure) as raised:
        async for _ in desk.export(pb.ExportCallsRequest(tenant_id=desk.tenant_id)):
            pass
    assert raised.value.reason == "ARCHIVE_AWAY"


async def test_advice_gives_its_reasons(desk: Desk, world: World) -> None:
    await world.fund(100 * UNIT)
    days = (usage(n, NOW_MS - n * DAY_MS, charge_micros=10 * UNIT) for n in range(1, 31))
    await desk.put(*days)
    request = pb.GetFundingAdviceRequest()
    advice = await desk.read("GetFundingAdvice", request, pb.GetFundingAdviceResponse, "admin")
    assert (advice.days, advice.days_left, advice.currency_code) == (30, 9, "USD")
    assert advice.spent_per_day_micros == advice.most_per_day_micros == 10_005_000
    assert (advice.trigger_micros, advice.amount_micros) == (50 * UNIT, 310 * UNIT)
    assert len(advice.reasoning) == 4
    nothing = await world.directory.put_tenant(world.tenant_like(f"{desk.tenant_id}-new"))
    request = pb.GetFundingAdviceRequest(tenant_id=nothing.tenant_id)
    advice = await desk.read("GetFundingAdvice", request, pb.GetFundingAdviceResponse)
    assert not advice.HasField("days_left")
    assert list(advice.reasoning) == ["No full day of use is in the archive yet."]


def _put_a_folder_in_the_way(path: Path) -> None:
    for found in path.glob("archive.db*"):
        found.unlink()
    (path / "archive.db").mkdir()
