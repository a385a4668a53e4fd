"""What can be asked of AccountService about tenants, payers and the journal: each function builds one request, or the
requests of one list."""

from collections.abc import Iterable

from talktime import conversion
from talktime.accounts import (
    Block,
    Conservation,
    Entry,
    Payer,
    PayerChanges,
    Tenant,
)
from talktime.ask import Ask, Defaults, Page, Pages, ask, reading, reading_page
from talktime.v1 import account_service_pb2 as pb
from talktime.words import RunningCalls

PROOF_TIMEOUT_S = 30.0  # it reads every line of the journal that is not in the archive yet


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


def put_payers(
    defaults: Defaults, payers: Iterable[Payer], *, tenant_id: str | None = None
) -> Ask[PayerChanges]:
    """Makes or replaces up to 1,000 payers in one request, of at most 1 MiB. All are written or, when one breaks
    a rule, none: InvalidRequest names each bad one by its place, as "payers[17].country"."""
    request = pb.PutPayersRequest(tenant_id=defaults.tenant(tenant_id))
    for payer in payers:
        conversion.write(payer, request.payers.add())
    return ask(request, reading(PayerChanges))


def block_payer(
    defaults: Defaults, payer_id: str, reason: str, *, tenant_id: str | None = None
) -> Ask[Payer]:
    """Refuses a payer's calls from now on, but emergency calls; the reason goes into the record of blocks."""
    request = pb.BlockPayerRequest(
        tenant_id=defaults.tenant(tenant_id), payer_id=payer_id, reason=reason
    )
    return ask(request, reading(Payer, "payer"))


def unblock_payer(
    defaults: Defaults, payer_id: str, reason: str = "", *, tenant_id: str | None = None
) -> Ask[Payer]:
    """Lets a blocked payer call again."""
    request = pb.UnblockPayerRequest(
        tenant_id=defaults.tenant(tenant_id), payer_id=payer_id, reason=reason
    )
    return ask(request, reading(Payer, "payer"))


def list_blocks(
    defaults: Defaults, *, page_size: int = 0, tenant_id: str | None = None
) -> Pages[Block]:
    """Lists who was blocked and unblocked, newest first."""

    def page(token: str) -> Ask[Page[Block]]:
        request = pb.ListBlocksRequest(
            tenant_id=defaults.tenant(tenant_id), page_size=page_size, page_token=token
        )
        return ask(request, reading_page(Block, "blocks"))

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


def check_conservation(defaults: Defaults, tenant_id: str | None = None) -> Ask[Conservation]:
    """Proves that a tenant's money and minutes are conserved."""
    request = pb.CheckConservationRequest(tenant_id=defaults.tenant(tenant_id))
    return ask(request, reading(Conservation), PROOF_TIMEOUT_S)
