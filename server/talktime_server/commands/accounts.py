"""`talktime balance`, `entries` and `conservation`: a tenant's money, its journal, and the proof of both."""

from typing import TYPE_CHECKING, Annotated

import typer

from talktime_server.commands.exits import Exit
from talktime_server.commands.funds import money_facts, outlook
from talktime_server.commands.money import decimal_of, money, signed
from talktime_server.commands.output import facts, instant, line, table
from talktime_server.commands.session import Session, asks

if TYPE_CHECKING:
    from talktime import Client, Conservation, Entry, PoolMovement, TenantBalance


def balance(session: Session) -> None:
    """Shows a tenant's money: what is there, what is set aside, and what became of all that was ever added.

    What is left of each funding: talktime funds show. Its minutes: talktime pool list. All of it on one page: talktime tenant show.

    Example: talktime balance --tenant contoso
    """
    with session.client() as client:
        answer = client.get_balance()
    now = answer.balance
    currency = now.currency_code if now else ""
    pairs = [
        *money_facts(now),
        ("Added in all", money(answer.loaded_micros, currency)),
        ("Spent from credits", money(answer.spent_micros, currency)),
        ("Expired", money(answer.expired_micros, currency)),
        ("Refunded", money(answer.refunded_micros, currency)),
        ("Uncollected", money(answer.uncollected_micros, currency)),
        ("Spent today, invoice included", money(answer.spent_today_micros, currency)),
        ("Spent this month, invoice included", money(answer.spent_this_month_micros, currency)),
        *invoice_facts(answer, currency),
        ("Open calls", answer.open_calls),
        ("Holds ended by time", answer.abandoned_calls),
        *outlook(answer),
    ]
    session.show(answer, facts("", pairs))


def entries(
    session: Session,
    reference: Annotated[
        str, typer.Option(metavar="ID", help="Only lines about this call or funding.")
    ] = "",
    last: Annotated[int, typer.Option(min=0, help="Only so many, the newest; 0 shows all.")] = 0,
) -> None:
    """Lists a tenant's journal, oldest first: every movement of money and minutes.

    Example: talktime entries --tenant contoso --last 20

    Example: talktime entries --tenant contoso --reference call-7f3a --json
    """
    with session.client() as client:
        found = list(client.list_entries(reference_id=reference, page_size=500))
    found = found[-last:] if last else found
    columns: tuple[str, ...] = (
        ">Line",
        "When",
        "What",
        "About",
        ">Balance",
        ">Set aside",
        ">Talk time",
        ">Invoice",
        "Minutes used and held",
    )
    if any(entry.reason for entry in found):
        columns = (*columns, "Why")
    rows = [_entry_row(entry)[: len(columns)] for entry in found]
    session.show({"entries": found}, table("", columns, rows))


def conservation(session: Session) -> None:
    """Proves that no money was lost or made: of one tenant, or of every one the token may see. Exits 1 if any was.

    Example: talktime conservation

    Example: talktime conservation --tenant contoso --json
    """
    with session.client() as client:
        tenants = [session.tenant_id] if session.tenant_id else _tenant_ids(client)
        proofs = {tenant: client.check_conservation(tenant) for tenant in tenants}
    conserved = all(proof.conserved for proof in proofs.values())
    columns = ("Tenant", *PROOF_COLUMNS)
    rows = [(tenant, *proof_row(proof)) for tenant, proof in proofs.items()]
    session.show(
        {
            "conserved": conserved,
            "tenants": [{"tenant_id": t, "proof": p} for t, p in proofs.items()],
        },
        table("", columns, rows),
        line(VERDICTS[conserved], "green" if conserved else "bold red"),
    )
    if not conserved:
        raise typer.Exit(int(Exit.FAILED))


PROOF_COLUMNS = (
    ">Added",
    ">Spent",
    ">Set aside",
    ">Free",
    ">Expired",
    ">Refunded",
    ">Lines",
    "Exact",
)
VERDICTS = {
    True: "Added = spent + set aside + free + expired + refunded, to the last millionth;"
    " minutes and invoices add up, too.",
    False: "Money or minutes are not conserved. Stop the service and keep the store's files.",
}


def proof_row(proof: "Conservation") -> tuple[object, ...]:
    """A proof as a line of a table with the columns above."""
    sums = (
        proof.loaded_micros,
        proof.spent_micros,
        proof.held_micros,
        proof.available_micros,
        proof.expired_micros,
        proof.refunded_micros,
    )
    return (*map(decimal_of, sums), proof.entries, proof.conserved)


def invoice_facts(
    answer: "TenantBalance", currency: str, *, always: bool = False
) -> list[tuple[str, object]]:
    """What is on the invoice and set aside for it, both or neither: one without the other reads as if it were all."""
    if not (always or answer.postpaid_micros or answer.postpaid_held_micros):
        return []
    return [
        ("On the invoice", money(answer.postpaid_micros, currency)),
        ("Set aside for the invoice", money(answer.postpaid_held_micros, currency)),
    ]


def _tenant_ids(client: "Client") -> list[str]:
    return [tenant.tenant_id for tenant in client.list_tenants(page_size=500)]


def _entry_row(entry: "Entry") -> tuple[object, ...]:
    return (
        entry.version,
        instant(entry.entry_time),
        entry.kind,
        entry.reference_id,
        signed(entry.settled_delta_micros),
        signed(entry.held_delta_micros),
        f"{entry.seconds} s" if entry.seconds else "",
        _invoice(entry),
        "; ".join(map(_moved, entry.pools)),
        entry.reason,
    )


def _invoice(entry: "Entry") -> str:
    """What a line did to the invoice: charged, and in brackets what is set aside for it."""
    charged, held = entry.postpaid_delta_micros, entry.postpaid_held_delta_micros
    return f"{signed(charged)}{f' ({signed(held)})' if held else ''}".strip()


def _moved(movement: "PoolMovement") -> str:
    used, held = movement.used_delta_seconds // 60, movement.held_delta_seconds // 60
    return f"{movement.pool_id} {movement.month}: {used:+}, {held:+} min"


def add_to(root: typer.Typer) -> None:
    """Hangs the commands that have no group of their own below `talktime` itself."""
    asks(root, "balance")(balance)
    asks(root, "entries")(entries)
    asks(root, "conservation")(conservation)
