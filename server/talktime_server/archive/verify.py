"""Proves that the archive is what was written: every tenant's chain is walked, and what follows from its lines is added up
again and compared with what stands beside them. All of it reads one state of the database, while the archiver goes on.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from msgpack.exceptions import UnpackException
from sqlalchemy import Table, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from talktime_server.archive import schema
from talktime_server.archive.chain import FIRST, next_hash
from talktime_server.archive.database import Database
from talktime_server.archive.derived import Derived, Sums
from talktime_server.archive.lines import Line, Row, entry_of
from talktime_server.archive.positions import count_entries

PAGE = 1000  # lines read at a time
MOST_FINDINGS = 1000  # told; who has more has another problem than which
# What a line cannot be read by, when somebody wrote into it.
_UNREADABLE = (ValueError, TypeError, KeyError, IndexError, AttributeError, UnpackException)
_BESIDE = (
    schema.balances,
    schema.pool_rows,
    schema.open_calls,
    schema.fundings,
    schema.profiles,
    schema.recharge_steps,
)

# Hears how many lines are done, and how many there are.
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Wrong:
    """Something that is not as it was written: in a line of a tenant, or in what stands beside the lines (version 0)."""

    tenant_id: str
    version: int
    text: str


@dataclass(frozen=True, slots=True)
class Head:
    """The last line of a tenant's chain, which stands for all lines up to it. Kept elsewhere, it proves them for ever."""

    tenant_id: str
    version: int
    hash: str


@dataclass(frozen=True, slots=True)
class Verification:
    """How many lines were looked at, what is wrong, the first of it first, and where the chains end."""

    entries: int
    tenants: int
    wrong: tuple[Wrong, ...]
    heads: tuple[Head, ...]

    @property
    def sound(self) -> bool:
        """Whether nothing was changed."""
        return not self.wrong


async def verify(
    database: Database, tell: Progress = lambda done, total: None, *, against: Sequence[Head] = ()
) -> Verification:
    """Walks everything. `against` are the ends of chains as an earlier verification told them: they are
    still part of the chains, or the whole was written anew. Raises ArchiveAway.
    """
    known = {head.tenant_id: head for head in against}
    async with database.connect() as connection:
        total = await count_entries(connection)
        walk = _Walk(connection, lambda done: tell(done, max(done, total)))
        tenants = await _tenants(connection) | known.keys()
        for tenant_id in sorted(tenants):
            await walk.tenant(tenant_id, known.get(tenant_id))
    return Verification(
        walk.entries, len(tenants), tuple(walk.wrong[:MOST_FINDINGS]), tuple(walk.heads)
    )


@dataclass(slots=True)
class _Walk:
    """One verification on its way."""

    connection: AsyncConnection
    tell: Callable[[int], None]
    entries: int = 0
    wrong: list[Wrong] = field(default_factory=list)
    heads: list[Head] = field(default_factory=list)

    async def tenant(self, tenant_id: str, known: Head | None) -> None:
        """Walks the lines of one tenant, and compares what follows from them."""
        derived, hash_before, version = Derived(), FIRST, 0
        async for row in _lines(self.connection, tenant_id):
            self._count()
            if row["version"] != version + 1:
                self._say(tenant_id, version + 1, "is missing")
            version, kept = row["version"], bytes(row["hash"])
            if next_hash(hash_before, row) != kept:
                self._say(tenant_id, version, "was changed, put in or moved")
            if known and known.version == version and known.hash != kept.hex():
                self._say(tenant_id, version, "is not the one that was verified before")
            hash_before = kept
            self._add(derived, row)
        if known and known.version > version:
            self._say(tenant_id, version + 1, "is missing: it was verified before")
        if version:
            self.heads.append(Head(tenant_id, version, hash_before.hex()))
        for table in _BESIDE:
            await self._compare(tenant_id, table, _expected(derived, table))

    def _count(self) -> None:
        self.entries += 1
        if self.entries % PAGE == 0:
            self.tell(self.entries)

    def _add(self, derived: Derived, row: Row) -> None:
        try:
            derived.add(Line.of(entry_of(row)), bytes(row["hash"]))
        except _UNREADABLE:
            self._say(row["tenant_id"], row["version"], "cannot be read")

    def _say(self, tenant_id: str, version: int, text: str) -> None:
        found = Wrong(tenant_id, version, f"line {version} {text}")
        if len(self.wrong) < MOST_FINDINGS:
            self.wrong.append(found)

    async def _compare(
        self, tenant_id: str, table: Table, expected: Mapping[tuple[Any, ...], Row]
    ) -> None:
        names = [column.name for column in table.primary_key][1:]
        asked = select(table).where(table.c.tenant_id == tenant_id)
        kept = {
            tuple(row[name] for name in names): dict(row)
            for row in (await self.connection.execute(asked)).mappings()
        }
        for key in sorted(kept.keys() | expected.keys()):
            for text in _differences(kept.get(key), expected.get(key)):
                named = " ".join(map(str, (table.name, *key)))
                if len(self.wrong) < MOST_FINDINGS:
                    self.wrong.append(Wrong(tenant_id, 0, f"{named}: {text}"))


def _differences(kept: Row | None, expected: Row | None) -> Iterator[str]:
    if kept is None:
        yield "is missing"
    elif expected is None:
        yield "follows from no line"
    else:
        for name, value in expected.items():
            if kept[name] != value:
                yield f"{name} is not what the lines come to"


def _expected(derived: Derived, table: Table) -> dict[tuple[Any, ...], Row]:
    """What should stand beside a tenant's lines, by its key without the tenant."""
    makers: dict[str, Callable[[], dict[tuple[Any, ...], Row]]] = {
        "balances": lambda: dict.fromkeys([()], _only(derived).row()) if derived.sums else {},
        "pool_rows": lambda: {key[1:]: asdict(row) for key, row in derived.minutes.items()},
        "open_calls": lambda: {
            key[1:]: {"call": call} for key, call in derived.calls.items() if call
        },
        "fundings": lambda: {key[1:]: row for key, row in derived.fundings.items()},
        "profiles": lambda: {key[1:]: row for key, row in derived.profiles.items()},
        "recharge_steps": lambda: {(row["version"],): row for row in derived.steps},
    }
    return makers[table.name]()


def _only(derived: Derived) -> Sums:
    (sums,) = derived.sums.values()
    return sums


async def _tenants(connection: AsyncConnection) -> set[str]:
    """Every tenant of whom anything is there. Those with lines are found one after the other: asking
    for all at once would read every line.
    """
    found: set[str] = set()
    table, last = schema.entries, ""
    while True:
        asked = select(func.min(table.c.tenant_id)).where(table.c.tenant_id > last)
        following = (await connection.execute(asked)).scalar()
        if following is None:
            break
        found.add(following)
        last = following
    for beside in _BESIDE:
        found |= set((await connection.execute(select(beside.c.tenant_id).distinct())).scalars())
    return found


async def _lines(connection: AsyncConnection, tenant_id: str) -> AsyncIterator[Row]:
    table, after = schema.entries, -(2**62)
    asked = select(table).where(table.c.tenant_id == tenant_id).order_by(table.c.version)
    while True:
        page = await connection.execute(asked.where(table.c.version > after).limit(PAGE))
        rows = page.mappings().all()
        for row in rows:
            yield dict(row)
        if len(rows) < PAGE:
            return
        after = rows[-1]["version"]
