"""What can be asked of AccountService about usage: each function builds one request, or those of a list."""

from dataclasses import dataclass

from talktime import conversion
from talktime.ask import Ask, Defaults, Flow, Page, Pages, ask, flow, reading, reading_page
from talktime.reports import ArchiveStatus, CallFilter, FundingAdvice, UsageReport, UsageRow
from talktime.v1 import account_service_pb2 as pb
from talktime.words import UsageGroup

_EVERYTHING = CallFilter()


@dataclass(frozen=True, slots=True)
class ExportPart:
    """Some rows of an export; `row_count` is how many the whole has, 0 in all parts but the first."""

    rows: tuple[UsageRow, ...]
    row_count: int


def list_calls(
    defaults: Defaults,
    picked: CallFilter = _EVERYTHING,
    *,
    page_size: int = 0,
    tenant_id: str | None = None,
) -> Pages[UsageRow]:
    """Lists the usage rows of ended calls, newest first; a call with two sources has two. Rows appear within
    seconds; Unavailable with the reason ARCHIVE_AWAY when the archive cannot be asked."""

    def page(token: str) -> Ask[Page[UsageRow]]:
        request = pb.ListCallsRequest(
            tenant_id=defaults.tenant(tenant_id), page_size=page_size, page_token=token
        )
        conversion.write(picked, request.filter)
        return ask(request, reading_page(UsageRow, "rows"))

    return page


def get_usage_report(
    defaults: Defaults,
    group: UsageGroup | str = UsageGroup.DAY,
    picked: CallFilter = _EVERYTHING,
    *,
    tenant_id: str | None = None,
) -> Ask[UsageReport]:
    """Sums usage by day, payer, destination, country, what paid, type of call, organizer (the conferencing dial-out
    summary) or, for operators who name no tenant, by tenant."""
    request = pb.GetUsageReportRequest(tenant_id=defaults.tenant(tenant_id))
    number = conversion.number_of(group, pb.UsageGroup.DESCRIPTOR)
    request.group = pb.UsageGroup.ValueType(number)
    conversion.write(picked, request.filter)
    return ask(request, reading(UsageReport))


def export_calls(
    defaults: Defaults, picked: CallFilter = _EVERYTHING, *, tenant_id: str | None = None
) -> Flow[ExportPart]:
    """The usage rows of a time, oldest first, in parts."""
    request = pb.ExportCallsRequest(tenant_id=defaults.tenant(tenant_id))
    conversion.write(picked, request.filter)
    return flow(request, reading(ExportPart))


def get_funding_advice(defaults: Defaults, tenant_id: str | None = None) -> Ask[FundingAdvice]:
    """Advises when to recharge and by how much, from the last 30 to 60 days, and says why."""
    request = pb.GetFundingAdviceRequest(tenant_id=defaults.tenant(tenant_id))
    return ask(request, reading(FundingAdvice))


def get_archive_status(defaults: Defaults) -> Ask[ArchiveStatus]:
    """Shows how far the archive is. For operators."""
    return ask(pb.GetArchiveStatusRequest(), reading(ArchiveStatus))
