"""Absurd numbers, put to the scripts themselves: whoever let them through, they move nothing (semantics 89)."""

from math import inf, nan
from typing import Any

import msgpack
import pytest

from ledger.world import World, facts_of
from stores import contents
from talktime_server.failure import Broken
from talktime_server.ledger import keys
from talktime_server.ledger.asks import KINDS
from talktime_server.ledger.store import Script

ABSURD = (
    "",
    " ",
    "nan",
    "-nan",
    "inf",
    "-inf",
    "0x10",
    "1e3",
    "1.5",
    "1.",
    " 12 ",
    "12\n",
    "+12",
    "--1",
    "1 2",
    "twelve",
    "१२",
    "9" * 30,
    "-" + "9" * 30,
    "9" * 16,
    "-1000000000001",
)

ABSURD_PACKED: tuple[Any, ...] = (
    "",
    "600",
    nan,
    inf,
    -inf,
    1.5,
    2**63,
    -(2**63),
    9 * 10**15 + 1,
    True,
    [],
    None,
)

AUTHORIZE: dict[str, Any] = {
    "call_id": "a",
    "tenant_id": "",
    "payer_id": "ann",
    "tenant_profile": 1,
    "payer_profile": 1,
    "facts": facts_of().pack(),
    "refusal": "",
    "source": "CREDITS",
    "plan": "",
    "short": "",
    "rate": 60,
    "fee": 0,
    "initial": 60,
    "increment": 60,
    "asked": 600,
    "least": 0,
    "grace": 120,
    "line": 0,
    "limits": "",
    "costly": False,
    "conference": "",
    "budget": 0,
    "refusal_ttl": 600,
    "dry": False,
}
EXTEND = {
    "call_id": "open",
    "tenant_id": "",
    "tenant_profile": 1,
    "epoch": -1,
    "refusal": "",
    "cut": False,
    "source": "CREDITS",
    "plan": "",
    "short": "",
    "limits": "",
    "sequence": 1,
    "added": 60,
    "grace": 120,
}
FIELDS = (
    "facts",
    "payer_id",
    "payer_profile",
    "source",
    "plan",
    "conference",
    "budget",
    "rate",
    "fee",
    "initial",
    "increment",
)
SETTLE = {
    "call_id": "open",
    "tenant_id": "",
    "tenant_profile": 1,
    "duration": 60,
    "floor": 0,
    "ttl": 600,
    "archived": "",
    **dict.fromkeys(FIELDS),
}
UNRESERVED = SETTLE | {"call_id": "a", **{name: AUTHORIZE[name] for name in FIELDS}}
RELEASE = {"call_id": "open", "tenant_id": "", "ttl": 600}
EXPIRE = {"call_id": "due", "tenant_id": "", "charge_proven": False, "ttl": 600}
ADD_FUNDS = {
    "funding_id": "f1",
    "tenant_id": "",
    "kind": "FUND",
    "amount": "5000",
    "days": "30",
    "note": "",
}
TAKE_FUNDS = {
    "refund_id": "t1",
    "tenant_id": "",
    "kind": "REFUND",
    "amount": "1",
    "funding_id": "f0",
    "reason": "asked for",
}
PUT_DECK = {"deck_version": "absurd", "currency": "ABS", "part": "0", "count": "1", "rows": "x"}

# For each script: what it is asked, which places are numbers, and numbers that are well formed but out of bounds.
NUMBERS: dict[str, tuple[dict[str, Any], dict[str, tuple[Any, ...]]]] = {
    "authorize": (
        AUTHORIZE,
        {
            "rate": (-1, 1000000001),
            "fee": (-1, 1000000001),
            "initial": (0, -60, 3601),
            "increment": (0, -60, 3601),
            "asked": (0, -1, 86401, 31536000),
            "least": (-1, 3601),
            "grace": (-1, 3601),
            "line": (-1, 1000000000001),
            "budget": (-1, 1000000000001),
            "refusal_ttl": (0, -1),
        },
    ),
    "extend": (
        EXTEND,
        {
            "sequence": (0, -1, 1000000001),
            "added": (0, -1, 86401),
            "grace": (-1, 3601),
        },
    ),
    "settle": (
        SETTLE,
        {"duration": (-1, 86401, 31536000), "floor": (1,), "ttl": (0, -1)},
    ),
    "settle unreserved": (
        UNRESERVED,
        {
            "rate": (-1, 1000000001),
            "fee": (-1, 1000000001),
            "initial": (0, 3601),
            "increment": (0, 3601),
        },
    ),
    "release": (RELEASE, {"ttl": (0, -1)}),
    "expire": (EXPIRE, {"ttl": (0, -1)}),
    "add_funds": (
        ADD_FUNDS,
        {"amount": ("0", "-1", "1000000000001"), "days": ("0", "-1", "3651")},
    ),
    "take_funds": (TAKE_FUNDS, {"amount": ("0", "-1", "1000000000001")}),
    "put_deck": (PUT_DECK, {"count": ("0", "-1", "1000001")}),
}


def names_of(script: str, owner: str) -> list[str]:
    """The keys of a script's operation, in its order."""
    shard = keys.shard_of(owner)
    money = keys.journal(shard), keys.recharges(shard)
    return {
        "add_funds": [keys.tenant(owner), keys.account(owner), keys.funding(owner, "f1"), *money],
        "take_funds": [
            keys.tenant(owner),
            keys.account(owner),
            keys.funding(owner, "t1"),
            keys.funding(owner, "f0"),
            *money,
        ],
        "put_deck": [keys.deck("absurd"), keys.decks()],
    }[script]


def asked_of(kind: str, owner: str, arguments: dict[str, Any]) -> tuple[tuple[str, ...], list[Any]]:
    """An operation on a call, as calls.lua takes it."""
    call_id = arguments["call_id"]
    names = keys.of_call(owner, "ann", call_id)
    if kind == "settle":
        names = (*names, keys.unmatched(owner, call_id))
    given = [arguments[name] for name in arguments if arguments[name] is not None]
    return names, [msgpack.packb([kind, *given], use_bin_type=False)]


async def ask(world: World, name: str, changes: dict[str, Any]) -> bytes:
    """The word that a script answers."""
    script, owner = name.split()[0], world.tenant.tenant_id
    arguments = NUMBERS[name][0] | changes
    if "tenant_id" in arguments:
        arguments["tenant_id"] = owner
    if script in KINDS:
        calls = Script(world.store, "calls", KINDS, tail=("",))
        return bytes((await calls(*asked_of(script, owner, arguments)))[0])
    answer = await Script(world.store, script)(names_of(script, owner), list(arguments.values()))
    return bytes(answer[0])


async def prepare(world: World) -> None:
    """One call whose lease is over, one that is open, and money for more."""
    await world.fund(5000)
    await world.authorize("due", 60)
    await world.advance(181)
    await world.authorize("open", 600)


@pytest.mark.parametrize("name", NUMBERS)
async def test_a_script_refuses_absurd_numbers_and_moves_nothing(world: World, name: str) -> None:
    await prepare(world)
    before = await contents(world.store, [world.tenant.tenant_id])
    absurd = ABSURD_PACKED if name.split()[0] in KINDS else ABSURD
    for place, out_of_bounds in NUMBERS[name][1].items():
        for number in (*absurd, *out_of_bounds):
            with pytest.raises(Broken):
                await ask(world, name, {place: number})
    assert await contents(world.store, [world.tenant.tenant_id]) == before


@pytest.mark.parametrize("name", NUMBERS)
async def test_the_same_question_with_sound_numbers_is_answered(world: World, name: str) -> None:
    """Or the refusals above would prove nothing."""
    await prepare(world)
    assert await ask(world, name, {}) in (b"new", b"same")
    assert (await world.prove()).conserved


async def test_an_absurd_operation_harms_no_other_of_its_batch(world: World) -> None:
    """They leave in one script call; each has its own answer."""
    await prepare(world)
    script, owner = Script(world.store, "calls", KINDS, tail=("",)), world.tenant.tenant_id
    waiting = []
    for call_id, asked in (("a", 600), ("b", nan), ("c", 600)):
        arguments = AUTHORIZE | {"call_id": call_id, "tenant_id": owner, "asked": asked}
        waiting.append(script(*asked_of("authorize", owner, arguments)))
    assert (await waiting[0])[0] == b"new"
    with pytest.raises(Broken):
        await waiting[1]
    assert (await waiting[2])[0] == b"new"
    assert (await world.prove()).balance.open_calls == 3


async def test_an_operation_that_failed_is_decided_anew_when_it_comes_again(world: World) -> None:
    """Semantics 9: decisions are kept, failures are not."""
    await world.fund(5000)
    with pytest.raises(Broken):
        await ask(world, "authorize", {"asked": nan})
    assert await ask(world, "authorize", {}) == b"new"
    assert await ask(world, "authorize", {"asked": nan}) == b"replay"
