"""From rows and sums of usage, and from advice, to what AccountService answers."""

from collections.abc import Mapping

from talktime.v1 import account_service_pb2 as pb
from talktime_server.archive.advice import Advice
from talktime_server.archive.reports import Group, Line, Sums, UsageRow
from talktime_server.decision import catalog
from talktime_server.rpc.messages import CALL_TYPES, instant

GROUPS = {pb.UsageGroup.Value(f"USAGE_GROUP_{group.value}"): group for group in Group}


def usage_row(row: UsageRow) -> pb.UsageRow:
    """One row of the usage report."""
    return pb.UsageRow(
        usage_id=row.usage_id,
        call_id=row.call_id,
        conference_id=row.conference_id,
        user_location=row.user_location,
        payer_id=row.payer_id,
        user_principal_name=row.user_principal_name,
        user_display_name=row.user_display_name,
        caller_id=row.caller_number,
        call_type=CALL_TYPES[row.call_type],
        number_type=row.number_type,
        domestic=row.domestic,
        destination_country=row.country,
        destination=row.destination,
        destination_number=row.callee_number,
        start_time=instant(row.started_ms),
        end_time=instant(row.stopped_ms),
        duration_seconds=row.duration_seconds,
        connection_fee_micros=row.connection_fee_micros,
        charge_micros=row.charge_micros,
        currency_code=row.currency,
        capability=row.capability,
        postpaid=row.postpaid,
        pool_seconds=row.pool_seconds,
        pool_id=row.pool_id,
    )


def usage_report(sums: Sums, group: Group) -> pb.GetUsageReportResponse:
    """Sums of usage."""
    names = catalog.countries() if group is Group.COUNTRY else {}
    return pb.GetUsageReportResponse(
        lines=[_line(line, names) for line in sums.lines],
        totals=[_line(line, {}) for line in sums.totals],
        truncated=sums.truncated,
    )


def funding_advice(advice: Advice, currency: str) -> pb.GetFundingAdviceResponse:
    """Advice on recharging."""
    return pb.GetFundingAdviceResponse(
        days=advice.days,
        spent_per_day_micros=advice.spent_per_day_micros,
        most_per_day_micros=advice.most_per_day_micros,
        days_left=advice.days_left,
        trigger_micros=advice.trigger_micros,
        amount_micros=advice.amount_micros,
        reasoning=advice.reasoning,
        currency_code=currency,
    )


def _line(line: Line, names: Mapping[str, str]) -> pb.UsageLine:
    return pb.UsageLine(
        key=line.key,
        display_name=line.display_name or names.get(line.key, ""),
        calls=line.calls,
        duration_seconds=line.duration_seconds,
        pool_seconds=line.pool_seconds,
        connection_fee_micros=line.connection_fee_micros,
        charge_micros=line.charge_micros,
        postpaid_micros=line.postpaid_micros,
        currency_code=line.currency,
    )
