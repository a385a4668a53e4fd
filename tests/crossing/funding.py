"""What may pay for a call, as the second reading reads the rows of domain.md 2: every licence gives what its row says."""

from dataclasses import dataclass, field

from crossing import tables
from crossing.cases import Case, Payer
from crossing.countries import as_one, domestic_for_pools, listed_abroad


def dear(case: Case) -> bool:
    """Whether a premium or shared-cost number is dialled."""
    return case.outbound and case.number.kind in ("premium", "shared_cost")


@dataclass
class Funding:
    """What the rows give a call that speak of it; `missing` is what refuses it when they give nothing."""

    rows: list[str] = field(default_factory=list)
    included: bool = False
    pools: list[str] = field(default_factory=list)
    credits: bool = False
    postpaid: bool = False
    missing: str = ""

    def give(self, row: str, *, credits: bool = False, postpaid: bool = False) -> None:
        """Reads a row: what it gives comes on top of what others gave."""
        self.rows.append(row)
        self.credits = self.credits or credits
        self.postpaid = self.postpaid or postpaid

    def nothing_pays(self) -> bool:
        """Whether no row gave anything."""
        return not (self.included or self.pools or self.credits or self.postpaid)


def fund(case: Case) -> Funding:
    """What may pay, and the licence that is missing when nothing may."""
    if case.payer is None and case.call_type != "UNASSIGNED_IN":
        return Funding()
    by_type = {
        "USER_IN": user_in,
        "CONF_IN": conf_in,
        "UCAP_IN": ucap_in,
        "CONF_OUT": conf_out,
        "UCAP_OUT": ucap_out,
        "UNASSIGNED_IN": unassigned_in,
    }
    funding = by_type.get(case.call_type, user_out)(case)
    funding.postpaid = funding.postpaid and case.tenant.postpaid
    if not funding.missing and funding.nothing_pays():
        funding.missing = "NO_CREDITS_LICENSE"
    return funding


def unassigned_in(case: Case) -> Funding:
    """Somebody calls a number that is nobody's."""
    return tenants_money("unassigned_in")


def tenants_money(row: str) -> Funding:
    """The tenant pays, whoever the payer is."""
    return Funding([row], credits=True, postpaid=True)


def included(row: str) -> Funding:
    """Nothing is owed."""
    return Funding([row], included=True)


def unlicensed(row: str) -> Funding:
    """The licence of the row is not there."""
    return Funding([row], missing="NO_LICENSE")


def holds(payer: Payer, licenses: list[str] | set[str]) -> list[str]:
    """Which of these licences a payer has, in their order."""
    return [sku for sku in licenses if sku in payer.licenses]


def may_draw(payer: Payer) -> bool:
    """Whether a payer has the credits licence."""
    return bool(holds(payer, tables.CREDITS_LICENSES))


def has_plan(payer: Payer) -> bool:
    """Whether a payer has a calling plan of any kind."""
    return bool(holds(payer, tables.CALLING_PLANS) or holds(payer, tables.PAY_AS_YOU_GO))


def plan_pools(case: Case) -> list[str]:
    """The pools of the payer's calling plans that reach the number, in the order of use."""
    country, domestic = as_one(case.who.country), domestic_for_pools(case)
    pools = []
    for plan in holds(case.who, tables.CALLING_PLANS):
        sized = (plan, case.who.country) in tables.DOMESTIC_MINUTES
        if plan == "MCOPSTN8" and domestic:
            pools.append(f"{country}/MCOPSTN8/{case.who.payer_id}")
        elif plan == "MCOPSTN2" and sized and domestic:
            pools.append(f"{country}/MCOPSTN2/domestic")
        elif plan == "MCOPSTN2" and sized and listed_abroad(case.number):
            pools.append(f"{country}/MCOPSTN2/international")
        elif plan != "MCOPSTN2" and sized and domestic:
            pools.append(f"{country}/{plan}")
    return pools


def user_out(case: Case) -> Funding:
    """A user dials, adds parties, transfers or forwards."""
    payer = case.who
    if dear(case):
        return user_out_dear(payer)
    if not has_plan(payer):
        row = "domestic" if domestic_for_pools(case) else "abroad with a domestic plan"
        return unlicensed(f"user_out {row}")
    funding = Funding(pools=plan_pools(case))
    for plan in holds(payer, tables.CALLING_PLANS):
        if domestic_for_pools(case):
            funding.give("user_out domestic", **after_pools(payer))
        elif plan != "MCOPSTN2":
            funding.give("user_out abroad with a domestic plan", **with_credits_license(payer))
        elif listed_abroad(case.number):
            funding.give("user_out abroad, listed", **after_pools(payer))
        else:
            funding.give("user_out abroad, unlisted", **with_credits_license(payer))
    if holds(payer, tables.PAY_AS_YOU_GO):
        funding.give("user_out pay-as-you-go", credits=True, postpaid=True)
    return funding


def after_pools(payer: Payer) -> dict[str, bool]:
    """A row of a pool gives the invoice after it without the credits licence, as its licence column does not ask for one; also where
    the pool has no minutes, as for a plan in a country that has none.
    """
    return {"credits": may_draw(payer), "postpaid": True}


def with_credits_license(payer: Payer) -> dict[str, bool]:
    """A row that asks for the credits licence gives neither credits nor the invoice without it."""
    return {"credits": may_draw(payer), "postpaid": may_draw(payer)}


def user_out_dear(payer: Payer) -> Funding:
    """Money only, never a pool; pay-as-you-go needs no credits licence for it."""
    if not has_plan(payer):
        return unlicensed("user_out premium")
    funding = Funding()
    funding.give("user_out premium", **with_credits_license(payer))
    if holds(payer, tables.PAY_AS_YOU_GO):
        funding.give("user_out pay-as-you-go", credits=True, postpaid=True)
    return funding


def conf_out(case: Case) -> Funding:
    """A conference dials a participant; the organizer's licences count."""
    payer = case.who
    zone_a = case.number.country in tables.ZONE_A and not dear(case)
    row = "conf_out zone a" if zone_a else "conf_out outside zone a"
    subscribed, by_minute = holds(payer, tables.CONFERENCING), holds(payer, tables.PAY_PER_MINUTE)
    if not subscribed and not by_minute:
        return unlicensed(row)
    us_or_ca = as_one(case.number.country) in ("US", "CA") and not dear(case)
    if subscribed and us_or_ca and tables.UNLIMITED_US_CA in payer.licenses:
        return included("conf_out zone a")
    funding = Funding()
    if subscribed and zone_a:
        funding.pools = conference_pools(case, us_or_ca=us_or_ca)
        funding.give(row, **after_pools(payer))
    elif subscribed:
        funding.give(row, **with_credits_license(payer))
    if by_minute:
        funding.give("conf_out pay per minute", credits=True, postpaid=True)
    return funding


def conference_pools(case: Case, *, us_or_ca: bool) -> list[str]:
    """Minutes for dialling out of a conference to Zone A."""
    pools = ["zone-a/MCOMEETADV"] if "MCOMEETADV" in case.who.licenses else []
    if us_or_ca and "MCOMEETADD_DIALOUT_US" in case.who.licenses:
        pools.append("us-ca/MCOMEETADD_DIALOUT_US")
    if case.tenant.plans_after_conferencing:
        pools += plan_pools(case)
    return pools


def conf_in(case: Case) -> Funding:
    """Somebody dials into a conference."""
    if case.number.kind == "toll_free":
        return tenants_money("conf_in toll-free")
    if holds(case.who, tables.CONFERENCING):
        return included("conf_in toll")
    if holds(case.who, tables.PAY_PER_MINUTE):
        return tenants_money("conf_in pay per minute")
    return unlicensed("conf_in toll")


def user_in(case: Case) -> Funding:
    """A user is called."""
    if case.number.kind == "toll_free":
        return tenants_money("user_in toll-free")
    return included("user_in toll") if has_plan(case.who) else unlicensed("user_in toll")


def ucap_in(case: Case) -> Funding:
    """An auto attendant or call queue is called."""
    row = "ucap_in toll-free" if case.number.kind == "toll_free" else "ucap_in toll"
    if not holds(case.who, tables.RESOURCE_ACCOUNT):
        return unlicensed(row)
    return tenants_money(row) if case.number.kind == "toll_free" else included(row)


def ucap_out(case: Case) -> Funding:
    """An auto attendant or call queue dials: its plan's minutes, then the tenant's money, without a credits licence."""
    if not holds(case.who, tables.RESOURCE_ACCOUNT) and not has_plan(case.who):
        return unlicensed("ucap_out")
    funding = tenants_money("ucap_out")
    funding.pools = [] if dear(case) else plan_pools(case)
    return funding
