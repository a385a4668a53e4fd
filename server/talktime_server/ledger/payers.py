"""Payers as they are written: one at a time, or many in few trips; each only if it still is as it was read.

An import leaves the cache of profiles alone: it must not push out those who call.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeGuard, TypeVar

from talktime_server.failure import Applied, Broken, Failure, StoreAway
from talktime_server.ledger import keys
from talktime_server.ledger.blocks import block_line
from talktime_server.ledger.profiles import Payer, payer_of, to_json
from talktime_server.ledger.store import BATCH, Answer, Script, Store

Record = TypeVar("Record")
# Looks at a payer as it is, None when it is new, and as it shall be; raises Failure when that must not happen.
Check = Callable[[Payer | None, Payer], None]
# The same for many: sees them as they are.
CheckAll = Callable[[Sequence[Payer | None]], None]

WRITE_ROUNDS = 20  # of reading and writing again when somebody else wrote in between


@dataclass(frozen=True, slots=True)
class PayerChanges:
    """What became of payers that were written together."""

    created: int
    changed: int
    unchanged: int


def allow(old: Payer | None, new: Payer) -> None:
    """No rule but those of the record itself."""


def allow_all(stored: Sequence[Payer | None]) -> None:
    """No rule but those of the records themselves."""


class PayerWriter:
    """Asks the script that writes profiles. `counted` names the counts of licences that a payer adds
    to.
    """

    def __init__(
        self, store: Store, script: Script, counted: Callable[[Payer], tuple[str, ...]]
    ) -> None:
        self._store = store
        self._put = script
        self._counted = counted

    def ask(
        self, tenant_id: str, old: Payer | None, new: Payer, reason: str = ""
    ) -> asyncio.Future[Answer]:
        """Asks the script to write a payer, if it still is as it was."""
        names = (
            keys.payer(tenant_id, new.payer_id),
            keys.tenant(tenant_id),
            keys.account(tenant_id),
            keys.payers(tenant_id),
            keys.meters(tenant_id),
            keys.blocks(tenant_id),
            keys.journal(keys.shard_of(tenant_id)),
        )
        expected = str(old.version if old else 0)
        counts, line = " ".join(self._counted(new)), block_line(old, new, reason)
        return self._put(names, (tenant_id, new.payer_id, to_json(new), expected, "", counts, line))

    async def put(self, tenant_id: str, payers: Sequence[Payer], check: CheckAll) -> PayerChanges:
        """Makes or replaces many payers whole; whether they are blocked stays. `check` sees all of
        them as they are now, in the same order, and raises before any is written. A failure on the
        way leaves some written and the outcome UNKNOWN; repeating mends it.
        """
        parts = [payers[start : start + BATCH] for start in range(0, len(payers), BATCH)]
        found = [await self._stored(tenant_id, part) for part in parts]
        check([old for part in found for old in part])
        came: Counter[str] = Counter()
        for part, olds in zip(parts, found, strict=True):
            try:
                await self._put_part(tenant_id, part, olds, came)
            except Failure as failure:
                if came:
                    failure.applied = Applied.UNKNOWN
                raise
        return PayerChanges(came["created"], came["changed"], came["unchanged"])

    async def _put_part(
        self,
        tenant_id: str,
        payers: Sequence[Payer],
        olds: Sequence[Payer | None],
        came: "Counter[str]",
    ) -> None:
        """Writes payers at once, and again those that somebody else wrote meanwhile."""
        for _ in range(WRITE_ROUNDS):
            pairs = list(zip(payers, olds, strict=True))
            asks = [self.ask(tenant_id, old, keep_block(old, payer)) for payer, old in pairs]
            # All are waited for and counted, so that none fails unheard and none is written unheard.
            answers = await asyncio.gather(*asks, return_exceptions=True)
            came.update(
                _what_came(answer, old)
                for answer, (_, old) in zip(answers, pairs, strict=True)
                if _written(answer)
            )
            for answer in answers:
                if isinstance(answer, BaseException):
                    raise answer
            payers = [
                payer
                for answer, (payer, _) in zip(answers, pairs, strict=True)
                if not _written(answer)
            ]
            if not payers:
                return
            olds = await self._stored(tenant_id, payers)
        raise contended()

    async def _stored(self, tenant_id: str, payers: Sequence[Payer]) -> list[Payer | None]:
        """The stored ones of these payers, in one trip; None where there is none yet."""
        rows = await self._store.commands(
            [("HMGET", keys.payer(tenant_id, payer.payer_id), "pv", "p") for payer in payers]
        )
        return [read(payer_of, row) if row[0] else None for row in rows]


def keep_block(old: Payer | None, new: Payer) -> Payer:
    """A payer as asked for, blocked as it was: blocking has a record, and so an operation of its own."""
    if old is None:
        return replace(new, blocked=False, block_reason="")
    return replace(new, blocked=old.blocked, block_reason=old.block_reason)


def _written(answer: Answer | BaseException) -> TypeGuard[Answer]:
    """Whether a payer is as asked now; it is not when somebody else wrote it meanwhile."""
    return not isinstance(answer, BaseException) and answer[0] in (b"new", b"same")


def _what_came(answer: Answer, old: Payer | None) -> str:
    if answer[0] == b"same":
        return "unchanged"
    return "changed" if old else "created"


def read(kind: Callable[[bytes, int], Record], row: Sequence[bytes]) -> Record:
    """A record as stored. One that cannot be read fails with a word, so that an emergency call still
    passes and the sweeper goes on to the next tenant.
    """
    version, body = row
    try:
        return kind(body, int(version))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Broken("PROFILE_UNREADABLE", "a stored profile cannot be read") from error


def contended() -> StoreAway:
    """Somebody else wrote in between, each time: nothing of this write was done."""
    return StoreAway("CONTENDED", "others keep writing this record; try again")
