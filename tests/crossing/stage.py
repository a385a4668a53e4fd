"""A tenant of talktime's whose pools are in one state, asked by the rooms that decide, over a real store."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from crossing import cases
from crossing.cases import Source, Verdict
from crossing.deck import put_in_force
from crossing.dialled import CALLERS, NUMBERS
from crossing.staff import STAFF, UNKNOWN, everybody, sizes_s
from crossing.walk import BOUGHT, USUAL_S, Step, target_s
from talktime_server.decision import catalog
from talktime_server.decision.calls import Calls
from talktime_server.decision.emergency import Emergencies
from talktime_server.decision.price_list import PriceList
from talktime_server.decision.receipts import Receipts
from talktime_server.decision.shadow import ShadowCounts
from talktime_server.decision.verdict import Question, Verdicts
from talktime_server.failure import Invalid
from talktime_server.ledger.decks import Decks
from talktime_server.ledger.directory import Directory
from talktime_server.ledger.ledger import Ledger
from talktime_server.ledger.profiles import Payer, Tenant
from talktime_server.ledger.records import Grant
from talktime_server.ledger.shadows import Shadows
from talktime_server.ledger.store import Store
from talktime_server.words import CallType

CURRENCY = "EUR"
PATIENCE_S = 10.0
AT_ONCE = 250
LONGEST_S = 86_400
NOBODY = "nobody"


@dataclass(slots=True)
class Stage:
    """One tenant, and what decides for it. Its balance only grows."""

    tenant_id: str
    state: str
    ledger: Ledger
    directory: Directory
    calls: Calls
    emergencies: Emergencies
    balance_micros: int = 0

    async def set(self, tenant: cases.Tenant, balance_micros: int) -> None:
        """Gives the tenant its settings and its balance."""
        await self.directory.put_tenant(self._tenant(tenant))
        if tenant.suspended:
            await self.directory.suspend(self.tenant_id, cut_running_calls=False)
        else:
            await self.directory.resume(self.tenant_id)
        if balance_micros != self.balance_micros:
            added = balance_micros - self.balance_micros
            await self.ledger.funds.add(self.tenant_id, f"f{balance_micros}", added, 365)
            self.balance_micros = balance_micros

    def _tenant(self, tenant: cases.Tenant) -> Tenant:
        return Tenant(
            self.tenant_id,
            CURRENCY,
            "US",
            default_grant_seconds=USUAL_S,
            max_unassigned_calls_per_minute=1_000_000,
            postpaid=tenant.postpaid,
            dial_out_policy=tenant.policy,
            bought_licenses=tuple(BOUGHT[self.state].items()),
            independent_plan_pools=tenant.independent_pools,
            plans_after_conferencing=tenant.plans_after_conferencing,
            max_rate_per_minute_micros=tenant.ceiling_micros,
            default_rate_per_minute_micros=tenant.default_rate_micros,
            inbound_grace_micros=tenant.grace_micros,
            blocked_prefixes=tenant.lists.blocked,
            allowed_prefixes=tenant.lists.allowed,
        )

    async def hire(self) -> None:
        """Makes all payers."""
        await self.directory.put_payers(self.tenant_id, [_payer(each) for each in everybody()])
        for each in everybody():
            if each.blocked:
                await self.directory.block_payer(self.tenant_id, each.payer_id, "abuse")

    async def talk_away(self) -> None:
        """Brings the pools into their state as callers do: by calls that begin and end."""
        await self.set(cases.Tenant(independent_pools=True), 0)
        for pool, size in sizes_s(everybody(), BOUGHT[self.state]).items():
            spent_s = size - target_s(self.state, pool, size)
            lengths = [LONGEST_S] * (spent_s // LONGEST_S) + [spent_s % LONGEST_S]
            talks = [self._talk(pool, n, length) for n, length in enumerate(lengths) if length > 0]
            await asyncio.gather(*talks)

    async def _talk(self, pool: str, n: int, length_s: int) -> None:
        payer_id, call_type, number = drinker(pool)
        call_id = f"{pool.replace('/', '-')}-{n}"
        question = self._question(payer_id, call_type, number, length_s, call_id=call_id)
        grant = (await self.calls.authorize(question)).call.first
        assert grant is not None
        assert _sources(grant) == (Source("POOL", length_s, 0, pool),), (question, grant)
        await self.calls.settle(self.tenant_id, call_id, length_s, None)

    async def verdicts(self, steps: Sequence[Step]) -> list[Verdict]:
        """What talktime says to each step, under the settings of now."""
        answers: list[Verdict] = []
        for start in range(0, len(steps), AT_ONCE):
            part = [self._verdict(step) for step in steps[start : start + AT_ONCE]]
            answers += await asyncio.gather(*part)
        return answers

    async def helps(self, payer_id: str, call_type: str, dialled: str) -> bool:
        """Whether a call for help passes."""
        if not self.emergencies.may_be(dialled):
            return False
        question = self._question(payer_id, call_type, dialled, 60)
        try:
            return (await self.emergencies.passes(question)).granted_seconds == LONGEST_S
        except Invalid:
            return False

    async def _verdict(self, step: Step) -> Verdict:
        payer_id = NOBODY if step.kind == UNKNOWN else STAFF[step.country][step.kind].payer_id
        question = self._question(
            "" if step.call_type == "UNASSIGNED_IN" else payer_id,
            step.call_type,
            NUMBERS[step.number].text,
            step.asked_s,
            caller=CALLERS[step.caller_country],
        )
        grant = (await self.calls.quote(question)).answer.call.first
        assert grant is not None
        return said(grant, step.asked_s or USUAL_S)

    def _question(
        self,
        payer_id: str,
        call_type: str,
        number: str,
        seconds: int,
        *,
        call_id: str = "",
        caller: str = "",
    ) -> Question:
        return Question(
            self.tenant_id, call_id, payer_id, CallType(call_type), caller, number, "", seconds, ""
        )


def drinker(pool: str) -> tuple[str, str, str]:
    """Who draws on a pool and on nothing else, by which call to which number."""
    if pool == "zone-a/MCOMEETADV":
        return STAFF["DE"]["MCOMEETADV"].payer_id, "CONF_OUT", NUMBERS["de"].text
    if pool == "us-ca/MCOMEETADD_DIALOUT_US":
        return STAFF["DE"]["MCOMEETADD_DIALOUT_US"].payer_id, "CONF_OUT", NUMBERS["us"].text
    country, plan, *rest = pool.split("/")
    payer_id = rest[0] if plan == "MCOPSTN8" else STAFF[country][plan].payer_id
    number = "zw" if rest == ["international"] else country.lower()
    return payer_id, "USER_OUT", NUMBERS[number].text


def said(grant: Grant, asked_s: int) -> Verdict:
    """A grant as the second reading says it. What a grant says of itself must agree."""
    sources = _sources(grant)
    seconds = sum(source.seconds for source in sources)
    assert grant.granted_seconds == seconds, grant
    assert grant.final == (0 < seconds < asked_s), grant
    credits = sum(source.micros for source in sources if source.kind == "CREDITS")
    assert grant.held_micros == credits, grant
    return Verdict(grant.refusal.value if grant.refusal else "", sources)


def _sources(grant: Grant) -> tuple[Source, ...]:
    return tuple(
        Source(stretch.kind.value, stretch.seconds, stretch.amount_micros, stretch.pool_id)
        for stretch in grant.stretches
    )


def _payer(payer: cases.Payer) -> Payer:
    return Payer(
        payer.payer_id,
        payer.country,
        licenses=payer.licenses,
        dial_out_policy=payer.policy,
        toll_free_dial_in_off=payer.toll_free_off,
        max_rate_per_minute_micros=payer.ceiling_micros,
        blocked_prefixes=payer.lists.blocked,
        allowed_prefixes=payer.lists.allowed,
    )


@asynccontextmanager
async def open_stage(url: str, tenant_id: str, state: str) -> AsyncIterator[Stage]:
    """A new tenant with all its payers, its pools in a state, and an empty balance."""
    store = Store(url, timeout_s=PATIENCE_S)
    ledger = Ledger(store, receipt_ttl_s=60, refusal_ttl_s=60)
    directory = Directory(store, catalog.counted_licenses)
    decks, plan = Decks(store), catalog.number_plan()
    prices = PriceList(decks, ShadowCounts(Shadows(store)))
    calls = Calls(
        directory=directory,
        verdicts=Verdicts(plan, prices),
        prices=prices,
        ledger=ledger,
        receipts=Receipts(),
    )
    emergencies = Emergencies(directory=directory, plan=plan, ledger=ledger)
    stage = Stage(tenant_id, state, ledger, directory, calls, emergencies)
    try:
        await put_in_force(decks, prices, CURRENCY)
        await stage.set(cases.Tenant(), 0)
        await stage.hire()
        await stage.talk_away()
        yield stage
    finally:
        await store.close()
