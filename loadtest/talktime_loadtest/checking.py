"""After a load: the service's own books against what the clients saw, and the proof that money is conserved."""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from talktime import AsyncClient
from talktime_loadtest.preparing import each

# More lines than this tell nothing more.
MOST_LINES = 20


@dataclass(frozen=True, slots=True)
class Account:
    """A tenant in the service's books: `version` counts the lines of its journal."""

    open_calls: int
    held_micros: int
    spent_micros: int
    version: int
    conserved: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """A tenant in the clients' books, over all generators."""

    granted: int
    settled: int
    extended: int
    charged_micros: int


async def accounts(operator: AsyncClient, tenants: Sequence[str]) -> dict[str, Account]:
    """Every tenant's account now, its conservation proven."""
    found: dict[str, Account] = {}

    async def read(name: str) -> None:
        balance = await operator.get_balance(tenant_id=name)
        proof = await operator.check_conservation(tenant_id=name)
        found[name] = Account(
            balance.open_calls,
            balance.balance.held_micros if balance.balance else 0,
            balance.spent_micros,
            await _version(operator, name),
            proof.conserved,
        )

    await each(tenants, read)
    return found


def seen_by_clients(tenants: Sequence[str], books: Iterable[dict[str, Any]]) -> dict[str, Seen]:
    """What the generators wrote down, by tenant."""
    every = list(books)
    return {
        name: Seen(
            *(
                sum(book[field][place] for book in every)
                for field in ("granted", "settled", "extended", "charged_micros")
            )
        )
        for place, name in enumerate(tenants)
    }


def differences(
    before: dict[str, Account], after: dict[str, Account], seen: dict[str, Seen]
) -> list[str]:
    """Each difference between the two books, as a sentence; none is as it should be."""
    found: list[str] = []
    for name, clients in seen.items():
        found += _differences(name, before[name], after[name], clients)
    if len(found) > MOST_LINES:
        found[MOST_LINES:] = [f"and {len(found) - MOST_LINES} more"]
    return found


def _differences(name: str, before: Account, after: Account, clients: Seen) -> list[str]:
    compared = (
        ("open calls", after.open_calls - before.open_calls, clients.granted - clients.settled),
        ("micros charged", after.spent_micros - before.spent_micros, clients.charged_micros),
        (
            "journal lines",
            after.version - before.version,
            clients.granted + clients.settled + clients.extended,
        ),
    )
    found = [
        f"{name}: {what}: the service counts {service}, the clients saw {client}"
        for what, service, client in compared
        if service != client
    ]
    if not after.open_calls and after.held_micros:
        found.append(f"{name}: {after.held_micros} micros are held, and no call is open")
    if not after.conserved:
        found.append(f"{name}: its money is not conserved")
    return found


async def _version(operator: AsyncClient, name: str) -> int:
    async with asyncio.timeout(5.0), aclosing(operator.watch_balance(name)) as readings:  # type: ignore[type-var]  # an async generator, typed as its iterator
        async for reading in readings:
            return reading.version
    return 0
