"""A tenant of a test's own: its payers, its money, its clock, and a client for its router and its operator."""

import dataclasses
import uuid
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from service.running import Running
from talktime import (
    Authorization,
    Balance,
    Client,
    DeadlineExceeded,
    Entry,
    Payer,
    RateRow,
    Settlement,
    Tenant,
    TenantBalance,
    Unavailable,
)
from talktime.ask import Ask
from talktime_server.ledger import keys
from talktime_server.ledger.account import Account

T = TypeVar("T")

# Rates of the tests' own deck, in a currency of its own, so that sums can be done in the head.
CURRENCY = "EUR"
DECK = "round-figures"
LONDON = "+442079460018"  # 60,000 micros a minute in whole minutes
MOBILE = "+447700900123"  # the same country's longer prefix: 120,000
BERLIN = "+4930901820"  # 60,000 and a connection fee of 10,000
PARIS = "+33199001234"  # 90,000, at least 30 s, then steps of 6 s
MADRID = "+34910123456"  # 100,000 by the second, which is no whole number of micros
HARARE = "+263242700123"  # 200,000, and no conferencing pool reaches it
UNPRICED = "+390612345678"
TOLL_FREE = "+18005550123"  # 30,000; the tenant's own number for those who dial in
AT_HOME = "+14255550100"
MINUTE = 60_000  # what a minute to LONDON costs
LICENSES = ("MCOPSTN1", "MCOPSTNC", "MCOMEETADV")  # London is abroad, and credits pay for it
ROWS = (
    RateRow("44", "Kingdom", 60_000),
    RateRow("447", "Kingdom - Mobile", 120_000),
    RateRow("49", "Germany", 60_000, 10_000),
    RateRow("33", "France", 90_000, 0, 30, 6),
    RateRow("34", "Spain", 100_000, 0, 1, 1),
    RateRow("263", "Zimbabwe", 200_000),
    RateRow("1", "United States", 20_000),
    RateRow("1800", "United States - Toll-free", 30_000),
)


class Patient(Client):
    """Asks again when a machine that stood still let the time pass, its own or the store's: ids make that safe."""

    def _answer(self, ask: Ask[T]) -> T:
        for _ in range(3):
            with suppress(DeadlineExceeded, Unavailable):
                return super()._answer(ask)
        return super()._answer(ask)


@dataclass(frozen=True)
class Site:
    """One tenant of a running service."""

    service: Running
    tenant_id: str
    router: Client
    operator: Client

    @classmethod
    def open(cls, service: Running, **settings: Any) -> "Site":
        """Makes the tenant, with alice, who may call anywhere."""
        site = cls.of(service, f"site-{uuid.uuid4().hex[:12]}")
        site.set(**settings)
        site.put_payer("alice")
        return site

    @classmethod
    def of(cls, service: Running, tenant_id: str) -> "Site":
        """A tenant that there is."""
        router, operator = (
            Patient(service.address, token, tenant_id=tenant_id, timeout_s=2.0)
            for token in (service.router, service.operator)
        )
        return cls(service, tenant_id, router, operator)

    def close(self) -> None:
        """Proves that no money was made or lost, whatever the test did."""
        proof = self.operator.check_conservation()
        self.hang_up()
        assert proof.conserved, proof

    def hang_up(self) -> None:
        """Closes its connections."""
        self.router.close()
        self.operator.close()

    def set(self, **settings: Any) -> Tenant:
        """Replaces the tenant's settings."""
        plain = {"currency_code": CURRENCY, "country": "US"}
        return self.operator.put_tenant(Tenant(self.tenant_id, **{**plain, **settings}))

    def put_payer(self, payer_id: str, **changes: Any) -> Payer:
        """Makes or replaces a payer."""
        plain = Payer(payer_id, "US", LICENSES)
        return self.operator.put_payer(dataclasses.replace(plain, **changes))

    def fund(self, amount_micros: int, **more: Any) -> None:
        """Adds credits."""
        self.operator.add_funds(uuid.uuid4().hex, amount_micros, **more)

    def call(self, to_number: str = LONDON, **more: Any) -> Authorization:
        """Authorizes a call of alice's; for a minute and under a new id unless told otherwise."""
        plain = {"requested_seconds": 60}
        return self.router.authorize("alice", "USER_OUT", to_number, **{**plain, **more})

    def settle(self, call: Authorization, duration_seconds: int) -> Settlement:
        """Settles a call."""
        return self.router.settle(call.call_id, duration_seconds)

    def money(self) -> Balance:
        """Settled, held and available."""
        balance = self.balance().balance
        assert balance is not None
        return balance

    def sums(self) -> tuple[int, int]:
        """Settled and held."""
        money = self.money()
        return money.settled_micros, money.held_micros

    def pools(self) -> dict[str, tuple[int, int, int]]:
        """Seconds used, held and left of each pool this month."""
        pools = self.operator.get_balance().pools
        return {p.pool_id: (p.used_seconds, p.held_seconds, p.available_seconds) for p in pools}

    def balance(self) -> TenantBalance:
        """The tenant's money in full."""
        return self.operator.get_balance()

    def entries(self, reference_id: str = "") -> list[Entry]:
        """The tenant's journal, but for its lines about profiles."""
        lines = self.operator.list_entries(reference_id=reference_id)
        return [line for line in lines if line.kind != "PROFILE"]

    def kinds(self, reference_id: str = "") -> list[str]:
        """The kinds of the journal's lines."""
        return [entry.kind.value for entry in self.entries(reference_id)]

    def now_ms(self) -> int:
        """The tenant's clock: the store's, or its own mark when that is further."""
        with self.service.store() as store:
            seconds, micros = store.time()
            mark_ms = Account.read(store.get(keys.account(self.tenant_id))).mark_ms
        return max(int(seconds) * 1000 + int(micros) // 1000, mark_ms)

    def pass_time(self, seconds: int) -> None:
        """Moves the tenant's clock on: it never goes back, so its highest mark is what counts."""
        now_ms = self.now_ms() + seconds * 1000
        with self.service.store() as store:
            store.setrange(keys.account(self.tenant_id), *Account.place("mark_ms", now_ms))

    def enrich(self, settled_micros: int) -> None:
        """Gives a new tenant a balance that would take thousands of fundings, with its line of the journal."""
        key = keys.account(self.tenant_id)
        now = str(self.now_ms())
        with self.service.store() as store:
            account = Account.read(store.get(key))
            version = account.version + 1
            store.set(key, account._replace(settled_micros=settled_micros, version=version).pack())
            store.hset(keys.tenant(self.tenant_id), "loaded", str(settled_micros))
            line = {
                "t": self.tenant_id,
                "v": str(version),
                "k": "FUND",
                "r": "planted",
                "h": "0",
                "d": "0",
            }
            line |= {"s": str(settled_micros), "at": now}
            store.xadd(keys.journal(keys.shard_of(self.tenant_id)), line)
