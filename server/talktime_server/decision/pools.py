"""Pools of minutes: which ones a licence gives its holder, and what they hold this month (domain.md 3).

All users of a tenant with the same plan and licence country share one pool; a conferencing pool is
the whole tenant's. Different plans are never pooled. A pool grows and shrinks with the licences that
are counted for it, at once.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from talktime_server.decision import catalog
from talktime_server.decision.catalog import (
    Allowance,
    ConferencingAllowance,
    count_name,
    zone_countries,
)
from talktime_server.decision.geography import home
from talktime_server.ledger.profiles import Payer, Tenant
from talktime_server.ledger.records import Pool

DOMESTIC = "domestic"
INTERNATIONAL = "international"


@dataclass(frozen=True, slots=True)
class PoolState:
    """A pool in one month: its licences, and seconds of talk time. `closed`: its plan's other pool
    is used up, so nothing of this one is available.
    """

    pool_id: str
    sku: str
    licenses: int
    size_seconds: int
    used_seconds: int
    held_seconds: int
    available_seconds: int
    closed: bool


def domestic_pools(
    skus: tuple[str, ...], country: str, payer_id: str, *, independent: bool = False
) -> tuple[Pool, ...]:
    """The domestic minutes of the calling plans of a payer licensed in `country`, in the order of
    use; a plan without minutes there gives none.
    """
    return tuple(
        _plan_pool(plan, home(country), payer_id, DOMESTIC, independent=independent)
        for plan in catalog.allowances(country).values()
        if plan.sku in skus and plan.domestic_seconds
    )


def international_pools(
    skus: tuple[str, ...], country: str, *, independent: bool = False
) -> tuple[Pool, ...]:
    """The international minutes of a payer's calling plans: those of MCOPSTN2 alone."""
    return tuple(
        _plan_pool(plan, home(country), "", INTERNATIONAL, independent=independent)
        for plan in catalog.allowances(country).values()
        if plan.sku in skus and plan.international_seconds
    )


def conferencing_pools(
    skus: tuple[str, ...], number_country: str, bought: Mapping[str, int]
) -> tuple[Pool, ...]:
    """The tenant's dial-out minutes that the organizer's licences open for a number's country."""
    return tuple(
        _conferencing_pool(allowance, bought)
        for allowance in catalog.conferencing_allowances()
        if allowance.sku in skus and home(number_country) in zone_countries(allowance.zone)
    )


def pools_for(tenant: Tenant, payer: Payer | None) -> list[Pool]:
    """Every pool that a tenant may have, and those of the payer's own."""
    found = [pool for _, pool in _known_pools(tenant)]
    if payer:
        plans = domestic_pools(payer.licenses, payer.country, payer.payer_id)
        found += [pool for pool in plans if not pool.counted]
    return found


def pools_of(
    tenant: Tenant, counts: Mapping[str, int], uses: Mapping[str, tuple[int, int]]
) -> list[PoolState]:
    """A tenant's pools of a month, by id: those with licences and those that were used.

    `counts` are the licences assigned, by the name they are counted under; `uses` the used and the
    held seconds by pool id. A pool of one user's own is known by its use alone.
    """
    known = {pool.pool_id: (sku, pool) for sku, pool in _known_pools(tenant)}
    for pool_id in uses:
        if pool_id not in known and (found := _own_pool(pool_id)):
            known[pool_id] = found
    states = (_state(*known[pool_id], counts, uses) for pool_id in sorted(known))
    return [state for state in states if state.licenses or state.pool_id in uses]


def _plan_pool(
    plan: Allowance, country: str, payer_id: str, bucket: str, *, independent: bool
) -> Pool:
    base = f"{country}/{plan.sku}"
    if not plan.pooled:
        # The minutes of one user: no count sizes them, the licence that was just looked at does.
        return Pool(f"{base}/{payer_id}", "", plan.domestic_seconds, bought=1)
    counted = count_name(plan.sku, country)
    if not plan.international_seconds:
        return Pool(base, counted, plan.domestic_seconds)
    seconds, other_seconds, other = plan.domestic_seconds, plan.international_seconds, INTERNATIONAL
    if bucket == INTERNATIONAL:
        seconds, other_seconds, other = other_seconds, seconds, DOMESTIC
    if independent:
        return Pool(f"{base}/{bucket}", counted, seconds)
    return Pool(f"{base}/{bucket}", counted, seconds, 0, f"{base}/{other}", other_seconds)


def _conferencing_pool(allowance: ConferencingAllowance, bought: Mapping[str, int]) -> Pool:
    return Pool(
        f"{allowance.zone}/{allowance.sku}",
        count_name(allowance.sku),
        allowance.seconds,
        bought.get(allowance.sku, 0) if allowance.bought_count else 0,
    )


def _known_pools(tenant: Tenant) -> Iterator[tuple[str, Pool]]:
    """Every pool that a tenant may have, but those of one user's own."""
    independent = tenant.independent_plan_pools
    for country in _pool_countries():
        for plan in catalog.allowances(country).values():
            if plan.pooled:
                yield plan.sku, _plan_pool(plan, country, "", DOMESTIC, independent=independent)
                if plan.international_seconds:
                    there = _plan_pool(plan, country, "", INTERNATIONAL, independent=independent)
                    yield plan.sku, there
    bought = dict(tenant.bought_licenses)
    for allowance in catalog.conferencing_allowances():
        yield allowance.sku, _conferencing_pool(allowance, bought)


def _own_pool(pool_id: str) -> tuple[str, Pool] | None:
    """The pool of one user by its id, "US/MCOPSTN8/alice"; None for an id that is no such pool's."""
    country, sku, payer_id = (*pool_id.split("/", 2), "", "")[:3]
    plan = catalog.allowances(country).get(sku)
    if plan is None or plan.pooled or not payer_id:
        return None
    return sku, _plan_pool(plan, country, payer_id, DOMESTIC, independent=True)


def _state(
    sku: str, pool: Pool, counts: Mapping[str, int], uses: Mapping[str, tuple[int, int]]
) -> PoolState:
    licenses = max(counts.get(pool.counted, 0), pool.bought)
    size = licenses * pool.seconds_per_license
    used, held = uses.get(pool.pool_id, (0, 0))
    closed = False
    if pool.closed_with and licenses:
        closed = licenses * pool.closed_with_seconds <= sum(uses.get(pool.closed_with, (0, 0)))
    left = 0 if closed else max(0, size - used - held)
    return PoolState(pool.pool_id, sku, licenses, size, used, held, left, closed)


@cache
def _pool_countries() -> tuple[str, ...]:
    return tuple(sorted({row["pool_country"] for row in catalog.rows("plan_countries")}))
