"""`talktime pool`: the minutes of a tenant's plans in this calendar month (UTC), and what sizes them."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from talktime_server.commands.exits import Exit, Stop
from talktime_server.commands.output import facts, line, minutes, share, table
from talktime_server.commands.session import Session, asks

if TYPE_CHECKING:
    from talktime import Pool, Tenant

group = typer.Typer(no_args_is_help=True)

COLUMNS = ("Pool", ">Licences", ">Minutes", ">Used", ">Held", ">Left", ">")
NO_POOLS = "No pool: nobody holds a licence that brings minutes, and none was bought."
_RULES = (
    "All users of one plan in one country share a pool; different plans never do. The conferencing pool is the whole"
    " tenant's. A pool follows its licences at once, is for one UTC month, and carries nothing over."
)


@asks(group, "list")
def list_(
    session: Session,
    payer: Annotated[
        str, typer.Option(metavar="PAYER", help="Shows this user's own pool too, as of MCOPSTN8.")
    ] = "",
) -> None:
    """Lists a tenant's pools of this month: their size, what sizes them, and what is left.

    Example: talktime pool list --tenant contoso
    """
    with session.client() as client:
        pools = client.get_balance(payer_id=payer).pools
        tenant = client.get_tenant()
    if not pools:
        session.show({"pools": []}, line(NO_POOLS))
        return
    sized = [(pool.pool_id, sized_by(pool, tenant)) for pool in pools]
    document = {"pools": pools, "sized_by": dict(sized)}
    session.show(
        document,
        table("Minutes of this month", COLUMNS, pool_rows(pools)),
        table("What sizes them", ("Pool", "Licences and minutes"), sized),
        line(_RULES, "dim"),
    )


@asks(group, "show")
def show(
    session: Session,
    pool_id: Annotated[
        str, typer.Argument(metavar="POOL", help="Its id, as `talktime pool list` shows.")
    ],
) -> None:
    """Shows one pool of this month, in words.

    Example: talktime pool show US/MCOPSTN2/domestic --tenant contoso
    """
    with session.client() as client:
        found = {pool.pool_id: pool for pool in client.get_balance().pools}
        tenant = client.get_tenant()
    pool = found.get(pool_id)
    if pool is None:
        text = f"There is no pool {pool_id} this month. `talktime pool list` shows those there are."
        raise Stop(Exit.NOT_FOUND, text)
    pairs = [
        ("Pool", pool.pool_id),
        ("Comes with", _plan(pool.sku)),
        ("Sized by", sized_by(pool, tenant)),
        ("Size", f"{minutes(pool.size_seconds)} min"),
        ("Used", f"{minutes(pool.used_seconds)} min"),
        ("Held by open calls", f"{minutes(pool.held_seconds)} min"),
        ("Left", f"{minutes(pool.available_seconds)} min {_left(pool)}"),
        ("Closed", _CLOSED if pool.closed else ""),
    ]
    session.show(pool, facts("", pairs))


def pool_rows(pools: Iterable["Pool"]) -> list[tuple[object, ...]]:
    """Pools as lines of a table with the columns above, in whole minutes."""
    return [
        (
            pool.pool_id,
            f"{pool.licenses:,}",
            minutes(pool.size_seconds),
            minutes(pool.used_seconds),
            minutes(pool.held_seconds),
            minutes(pool.available_seconds),
            _left(pool),
        )
        for pool in pools
    ]


def sized_by(pool: "Pool", tenant: "Tenant") -> str:
    """Which licences size a pool, and how many minutes each brings."""
    if not pool.licenses:
        return "no licence any more; what was used stays on record"
    each = f"{minutes(pool.size_seconds // pool.licenses)} min each"
    if pool.pool_id.count("/") == 2 and not pool.pool_id.endswith(("/domestic", "/international")):
        return f"one user's own, {minutes(pool.size_seconds)} min, shared with nobody"
    scope = pool.pool_id.split("/")[0]
    if len(scope) == 2:
        return f"{pool.licenses:,} assigned in {scope}, {each}"
    bought = {each.sku: each.count for each in tenant.bought_licenses}.get(pool.sku, 0)
    counted = "bought" if bought == pool.licenses else "assigned"
    return f"{pool.licenses:,} {counted} in the whole tenant, {each}"


def _left(pool: "Pool") -> str:
    if pool.closed:
        return "closed"
    return share(pool.available_seconds, pool.size_seconds)


def _plan(sku: str) -> str:
    from talktime_server.decision import catalog

    known = catalog.licenses().get(sku)
    return f"{sku} ({known.name})" if known else sku


_CLOSED = (
    "yes: the other pool of this plan is used up, which closes both until the month ends;"
    " `talktime tenant put --pools-apart` makes them independent"
)
