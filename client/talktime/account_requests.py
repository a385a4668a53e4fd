"""What can be asked of AccountService: each function builds one request, or the requests of one list or deck."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from talktime import conversion
from talktime.answers import (
    Conservation,
    Entry,
    Funding,
    Payer,
    RateDeck,
    RateDecks,
    RateRow,
    Tenant,
    TenantBalance,
)
from talktime.ask import Ask, Defaults, Page, Pages, ask, reading, reading_page
from talktime.v1 import account_service_pb2 as pb
from talktime.words import RunningCalls

# A part of a deck: the contract's most rows, and room for the message's own fields below the service's 256 KiB.
MAX_PART_ROWS = 2000
MAX_PART_BYTES = 250_000
MAX_PARTS = 10_000
# Tag and length in front of a row: rows are shorter than 16,384 bytes.
_ROW_FRAME_BYTES = 3


@dataclass(frozen=True, slots=True)
class Upload:
    """A deck in parts, each with its number of rows; each part answers how many rows are stored so far."""

    parts: list[tuple[Ask[int], int]]
    row_count: int


def put_tenant(defaults: Defaults, tenant: Tenant) -> Ask[Tenant]:
    """Makes a tenant or replaces its settings; shows it as stored."""
    request = pb.PutTenantRequest()
    conversion.write(tenant, request.tenant)
    return ask(request, reading(Tenant, "tenant"))


def get_tenant(defaults: Defaults, tenant_id: str | None = None) -> Ask[Tenant]:
    """Reads a tenant."""
    request = pb.GetTenantRequest(tenant_id=defaults.tenant(tenant_id))
    return ask(request, reading(Tenant, "tenant"))


def list_tenants(defaults: Defaults, *, page_size: int = 0) -> Pages[Tenant]:
    """Lists the tenants the token may see, by id."""

    def page(token: str) -> Ask[Page[Tenant]]:
        request = pb.ListTenantsRequest(page_size=page_size, page_token=token)
        return ask(request, reading_page(Tenant, "tenants"))

    return page


def suspend_tenant(
    defaults: Defaults,
    tenant_id: str | None = None,
    *,
    running_calls: RunningCalls | str = RunningCalls.DRAIN,
) -> Ask[Tenant]:
    """Suspends a tenant: new calls are refused at once, emergency calls still pass."""
    request = pb.SuspendTenantRequest(tenant_id=defaults.tenant(tenant_id))
    number = conversion.number_of(running_calls, pb.RunningCalls.DESCRIPTOR)
    request.running_calls = pb.RunningCalls.ValueType(number)
    return ask(request, reading(Tenant, "tenant"))


def resume_tenant(defaults: Defaults, tenant_id: str | None = None) -> Ask[Tenant]:
    """Ends a suspension."""
    request = pb.ResumeTenantRequest(tenant_id=defaults.tenant(tenant_id))
    return ask(request, reading(Tenant, "tenant"))


def put_payer(defaults: Defaults, payer: Payer, *, tenant_id: str | None = None) -> Ask[Payer]:
    """Makes a payer or replaces it whole, licences included; shows it as stored."""
    request = pb.PutPayerRequest(tenant_id=defaults.tenant(tenant_id))
    conversion.write(payer, request.payer)
    return ask(request, reading(Payer, "payer"))


def get_payer(defaults: Defaults, payer_id: str, *, tenant_id: str | None = None) -> Ask[Payer]:
    """Reads a payer."""
    request = pb.GetPayerRequest(tenant_id=defaults.tenant(tenant_id), payer_id=payer_id)
    return ask(request, reading(Payer, "payer"))


def list_payers(
    defaults: Defaults, *, page_size: int = 0, tenant_id: str | None = None
) -> Pages[Payer]:
    """Lists a tenant's payers, by id."""

    def page(token: str) -> Ask[Page[Payer]]:
        request = pb.ListPayersRequest(
            tenant_id=defaults.tenant(tenant_id), page_size=page_size, page_token=token
        )
        return ask(request, reading_page(Payer, "payers"))

    return page


def assign_licenses(
    defaults: Defaults,
    payer_id: str,
    *,
    add: Iterable[str] = (),
    remove: Iterable[str] = (),
    tenant_id: str | None = None,
) -> Ask[Payer]:
    """Assigns and removes licences of a payer in one step, so that a swap leaves no moment without any."""
    request = pb.AssignLicensesRequest(
        tenant_id=defaults.tenant(tenant_id),
        payer_id=payer_id,
        add_licenses=add,
        remove_licenses=remove,
    )
    return ask(request, reading(Payer, "payer"))


def add_funds(
    defaults: Defaults,
    funding_id: str,
    amount_micros: int,
    *,
    expire_days: int = 0,
    tenant_id: str | None = None,
) -> Ask[Funding]:
    """Adds credits once per `funding_id`, an invoice or transfer number."""
    request = pb.AddFundsRequest(
        tenant_id=defaults.tenant(tenant_id),
        funding_id=funding_id,
        amount_micros=amount_micros,
        expire_days=expire_days,
    )
    return ask(request, reading(Funding))


def get_balance(defaults: Defaults, tenant_id: str | None = None) -> Ask[TenantBalance]:
    """Shows a tenant's money; money of expired holds counts as free."""
    request = pb.GetBalanceRequest(tenant_id=defaults.tenant(tenant_id))
    return ask(request, reading(TenantBalance))


def list_entries(
    defaults: Defaults,
    *,
    reference_id: str = "",
    page_size: int = 0,
    tenant_id: str | None = None,
) -> Pages[Entry]:
    """Lists a tenant's journal, oldest first; `reference_id` keeps to the lines about one call or funding."""

    def page(token: str) -> Ask[Page[Entry]]:
        request = pb.ListEntriesRequest(
            tenant_id=defaults.tenant(tenant_id),
            page_size=page_size,
            page_token=token,
            reference_id=reference_id,
        )
        return ask(request, reading_page(Entry, "entries"))

    return page


def put_rate_deck(
    defaults: Defaults, deck_version: str, currency_code: str, rows: Iterable[RateRow]
) -> Upload:
    """Stores a deck in as many parts as it takes."""
    parts = list(_parts(rows))
    if not parts:
        raise ValueError("rows: a deck has at least one")
    if len(parts) > MAX_PARTS:
        raise ValueError(f"rows: a deck has at most {MAX_PARTS} parts of {MAX_PART_ROWS} rows")
    asks = [
        (_deck_part(deck_version, currency_code, number, part), len(part))
        for number, part in enumerate(parts)
    ]
    return Upload(asks, sum(map(len, parts)))


def activate_rate_deck(defaults: Defaults, deck_version: str, row_count: int) -> Ask[RateDeck]:
    """Makes a complete deck the one that prices new calls in its currency; `row_count` proves it complete."""
    request = pb.ActivateRateDeckRequest(deck_version=deck_version, row_count=row_count)
    return ask(request, reading(RateDeck, "deck"))


def get_rate_decks(defaults: Defaults, number: str = "") -> Ask[RateDecks]:
    """Lists stored decks and, for a number, the rows that price it."""
    request = pb.GetRateDecksRequest(number=defaults.number(number))
    return ask(request, reading(RateDecks))


def check_conservation(defaults: Defaults, tenant_id: str | None = None) -> Ask[Conservation]:
    """Proves that a tenant's money is conserved."""
    request = pb.CheckConservationRequest(tenant_id=defaults.tenant(tenant_id))
    return ask(request, reading(Conservation))


def _deck_part(
    deck_version: str, currency_code: str, number: int, rows: list[pb.RateRow]
) -> Ask[int]:
    request = pb.PutRateDeckRequest(
        deck_version=deck_version, currency_code=currency_code, part=number, rows=rows
    )
    return ask(request, lambda answer: int(answer.stored_rows))


def _parts(rows: Iterable[RateRow]) -> Iterator[list[pb.RateRow]]:
    """The rows in their order, in parts that the service takes."""
    part: list[pb.RateRow] = []
    size = 0
    for row in map(_deck_row, rows):
        row_size = row.ByteSize() + _ROW_FRAME_BYTES
        if part and (len(part) == MAX_PART_ROWS or size + row_size > MAX_PART_BYTES):
            yield part
            part, size = [], 0
        part.append(row)
        size += row_size
    if part:
        yield part


def _deck_row(row: RateRow) -> pb.RateRow:
    message = pb.RateRow()
    conversion.write(row, message)
    return message
