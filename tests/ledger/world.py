"""A tenant with its ledger, and short ways to ask it. Money is in micros and the usual rate is one a second, so that stories
can be followed in the head.
"""

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import msgpack

from ledger import story
from talktime_server.decision import catalog
from talktime_server.failure import NotFound
from talktime_server.ledger import keys
from talktime_server.ledger.account import Account
from talktime_server.ledger.directory import Directory
from talktime_server.ledger.journal import Journal, Proof
from talktime_server.ledger.ledger import Ledger
from talktime_server.ledger.operations import Asking, Extension, Judge, Outcome, Unreserved
from talktime_server.ledger.profiles import Payer, Tenant, limits_of
from talktime_server.ledger.records import CREDITS, Facts, Sources, Terms
from talktime_server.ledger.store import Store
from talktime_server.words import EntryKind, Reason

DAY_S = 86_400
PAYERS = ("ann", "ben")
RECEIPT_TTL_S = 86_400
REFUSAL_TTL_S = 600
PATIENCE_S = 10.0  # for a busy machine; how long the store may be silent is another test's matter
A_MICRO_A_SECOND = Terms(60, 0, 60, 60)


def facts_of(payer: str = "ann", to: str = "+442071838750", asked: int = 600) -> Facts:
    """What was asked of a call."""
    return Facts("USER_OUT", payer, "+12025550100", to, "", str(asked), "")


@dataclass(slots=True)
class World:
    """One tenant's view of the ledger; `tenant` is as it was last written here."""

    store: Store
    ledger: Ledger
    directory: Directory
    journal: Journal
    tenant: Tenant
    payers: dict[str, Payer]

    async def play(self, text: str) -> None:
        """Plays a story and compares what was answered; then all money must be there."""
        await story.play(self, text)
        proof = await self.prove()
        assert proof.conserved, proof

    async def set(self, **settings: Any) -> None:
        """Changes the tenant's settings."""
        changed = replace(self.tenant, **settings, version=0)
        self.tenant = await self.directory.put_tenant(changed)

    async def fund(self, amount_micros: int, funding_id: str = "f0", days: int = 365) -> None:
        await self.ledger.funds.add(self.tenant.tenant_id, funding_id, amount_micros, days)

    async def authorize(self, call_id: str, seconds: int = 600, **options: Any) -> Outcome:
        return await self.ledger.authorize(self.tenant, self.asking(call_id, seconds, **options))

    def asking(
        self,
        call_id: str,
        seconds: int = 600,
        *,
        payer: str = "ann",
        to: str = "+442071838750",
        sources: Sources = CREDITS,
        refusal: Reason | None = None,
        terms: Terms = A_MICRO_A_SECOND,
        line: int = 0,
        costly: bool = False,
        conference: str = "",
        budget: int = 0,
        dry: bool = False,
    ) -> Asking:
        """A decision as the rooms above would make it."""
        known = self.payers.get(payer)
        return Asking(
            call_id=call_id,
            facts=facts_of(payer, to, seconds)._replace(
                conference_id=conference,
                conference_budget_micros=str(budget),
            ),
            payer_version=known.version if known else 0,
            asked_seconds=seconds,
            sources=sources,
            refusal=refusal,
            terms=terms,
            credit_line_micros=line,
            limits=limits_of(self.tenant, known),
            costly=costly,
            dry=dry,
        )

    async def extend(
        self, call_id: str, sequence: int, added: int, **judged: Any
    ) -> Outcome | Judge:
        if judged:
            limits = limits_of(self.tenant, self.payers["ann"])
            judged = {"sources": CREDITS, "limits": limits, **judged}
        return await self.ledger.extend(self.tenant, Extension(call_id, sequence, added, **judged))

    def unreserved(
        self,
        terms: Terms = A_MICRO_A_SECOND,
        *,
        sources: Sources = CREDITS,
        **asked: Any,
    ) -> Unreserved:
        """What a call is charged by that was never authorized."""
        facts = facts_of(**asked)
        known = self.payers.get(facts.payer_id)
        return Unreserved(facts, known.version if known else 0, sources, terms)

    async def settle(
        self,
        call_id: str,
        duration: int,
        unreserved: Unreserved | None = None,
        *,
        archived: bytes = b"",
    ) -> Outcome:
        return await self.ledger.settle(
            self.tenant, call_id, duration, unreserved, archived=archived
        )

    async def release(self, call_id: str) -> Outcome:
        return await self.ledger.release(self.tenant.tenant_id, call_id)

    def tenant_like(self, tenant_id: str) -> Tenant:
        """Another tenant with the same settings."""
        return replace(self.tenant, tenant_id=tenant_id, version=0)

    async def use(self, payer: str) -> tuple[int, int]:
        """A payer's open calls, and what they hold."""
        row = await self.store.command("HGET", keys.busy(self.tenant.tenant_id), payer)
        open_calls, held, *_ = msgpack.unpackb(row) if row else (0, 0)
        return int(open_calls), int(held)

    async def epoch(self) -> int:
        """Counts the changes of the tenant's profiles."""
        return (await self.account()).epoch

    async def told(self) -> list[tuple[str, str]]:
        """Kind and reference of each line of the journal but those about profiles."""
        page, _ = await self.journal.page(self.tenant.tenant_id, "", 1000)
        return [
            (line.kind.value, line.reference) for line in page if line.kind is not EntryKind.PROFILE
        ]

    async def prove(self) -> Proof:
        return await self.journal.prove(self.tenant)

    async def account(self) -> Account:
        """The tenant's account as stored."""
        return Account.read(await self.store.command("GET", keys.account(self.tenant.tenant_id)))

    async def change_account(self, **places: int) -> None:
        """Writes other numbers into the account, past every script."""
        key = keys.account(self.tenant.tenant_id)
        for name, number in places.items():
            await self.store.command("SETRANGE", key, *Account.place(name, number))

    @property
    def key(self) -> str:
        return keys.tenant(self.tenant.tenant_id)

    async def now_ms(self) -> int:
        """The tenant's time: the store's, or its high-water mark when that is later."""
        seconds, micros = await self.store.command("TIME")
        mark_ms = (await self.account()).mark_ms
        return max(int(seconds) * 1000 + int(micros) // 1000, mark_ms)

    async def advance(self, seconds: float) -> None:
        """Lets time pass for this tenant alone, without waiting: its clock never runs behind its high-water mark."""
        await self.stop_clock_at(await self.now_ms() + int(seconds * 1000))

    async def stop_clock_at(self, now_ms: int) -> None:
        """Makes it this time until the store's own clock comes there: decisions can then be foretold to the millisecond."""
        await self.change_account(mark_ms=now_ms)


@asynccontextmanager
async def open_world(
    url: str, tenant_id: str, *, timeout_s: float = PATIENCE_S
) -> AsyncIterator[World]:
    """A ledger over a store, and a tenant with the payers ann and ben; what is there already is found again."""
    store = Store(url, timeout_s=timeout_s)
    ledger = Ledger(store, receipt_ttl_s=RECEIPT_TTL_S, refusal_ttl_s=REFUSAL_TTL_S)
    directory = Directory(store, catalog.counted_licenses)
    try:
        tenant = await _tenant(directory, tenant_id)
        payers = {name: (await directory.payer(tenant_id, name)) for name in PAYERS}
        yield World(store, ledger, directory, Journal(store, ledger), tenant, payers)
    finally:
        await store.close()


async def _tenant(directory: Directory, tenant_id: str) -> Tenant:
    with contextlib.suppress(NotFound):
        return await directory.fresh_tenant(tenant_id)
    tenant = await directory.put_tenant(Tenant(tenant_id, "USD", "US"))
    for name in PAYERS:
        await directory.put_payer(tenant_id, Payer(name, "US"))
    return tenant
