"""The worker is killed at each of its steps, with each token of the sandbox: one charge per dip, one credit per charge.

The provider's count and the ledger's are compared, and nothing waits longer than its deadline. TALKTIME_RECHARGE_KILLS says how
often each step and each token has its turn at least, in all pairs of the two; without it each token has one. The figures of a run
go to the file that TALKTIME_RECHARGE_FIGURES names.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count, cycle, product
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from recharge import mortal_worker
from recharge.mortal_worker import MOMENTS
from recharge.stage import PATIENCE, SETTINGS, UNIT, Stage, charging_of, method, open_stage, rule
from recharge.test_webhooks import webhooks
from stores import StoreProcess
from talktime_server.payments.sandbox import Sandbox, Token
from talktime_server.words import RechargeState
from talktime_server.work.recharge import RechargeWorker

KILLS = int(os.environ.get("TALKTIME_RECHARGE_KILLS", "0"))
AT_ONCE = 10  # processes
CLAIM_MS = 700
# What is left of a recharge once everything was done that can be done without a person.
ENDS = {
    Token.DECLINED: RechargeState.DECLINED,
    Token.EXPIRED_CARD: RechargeState.DECLINED,
    Token.ACTION_REQUIRED: RechargeState.ACTION_REQUIRED,
    Token.PENDING: RechargeState.CHARGING,
    Token.WRONG_AMOUNT: RechargeState.UNKNOWN,
    Token.OTHER_CURRENCY: RechargeState.UNKNOWN,
}
UNPAID = (Token.DECLINED, Token.EXPIRED_CARD, Token.ACTION_REQUIRED, Token.PENDING)
_FORWARDED = (RechargeState.UNKNOWN, RechargeState.COOLING)
WRONG = (Token.WRONG_AMOUNT, Token.OTHER_CURRENCY)
# Enough for what a provider may take that answers nothing, and a look of the worker.
SLACK_S = 15.0
# Of those who take over: a busy machine must not look like a silent provider.
PATIENT = replace(PATIENCE, attempt_s=4.0, total_s=10.0)
LIMIT_S = 60.0
BATCH_LIMIT_S = 300.0
_numbers = count(1)


@dataclass(slots=True)
class Figures:
    """What a run came to."""

    kills: int = 0
    lived: int = 0
    dips: int = 0
    charges: int = 0
    credits: int = 0
    doubled: int = 0
    lost: int = 0
    longest_s: float = 0.0
    of_moment: dict[str, int] = field(default_factory=dict)
    of_token: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Undertaker:
    """A program that forks workers and has them die."""

    process: asyncio.subprocess.Process

    async def kill(self, orders: list[dict[str, Any]]) -> int:
        """Works for each tenant until its moment; how many were really killed."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(orders).encode() + b"\n")
        ends = json.loads(await self.process.stdout.readline())
        assert set(ends) <= {0, 9}, ends
        return sum(end == 9 for end in ends)


@asynccontextmanager
async def undertaker(store_url: str, sandbox_url: str) -> AsyncIterator[Undertaker]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        mortal_worker.__file__,
        store_url,
        sandbox_url,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        yield Undertaker(process)
    finally:
        assert process.stdin
        process.stdin.close()
        await process.wait()


@pytest_asyncio.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(SETTINGS) as sandbox:
        yield sandbox


@pytest_asyncio.fixture
async def store_in_memory() -> AsyncIterator[StoreProcess]:
    """Workers die here, not the store: so it need not wait for a disk that others are busy with."""
    process = StoreProcess(appendonly="no")
    try:
        await process.start()
        yield process
    finally:
        process.stop()


@pytest.mark.timeout(7200)
async def test_killed_anywhere_it_is_charged_once_and_credited_once(
    store_in_memory: StoreProcess, sandbox: Sandbox
) -> None:
    figures, pairs = Figures(), turns()
    async with undertaker(store_in_memory.url, sandbox.url) as killer:
        for start in range(0, len(pairs), AT_ONCE):
            async with asyncio.timeout(BATCH_LIMIT_S):
                batch = pairs[start : start + AT_ONCE]
                await _batch(store_in_memory.url, sandbox, killer, batch, figures)
            _write(figures)
    assert (figures.doubled, figures.lost) == (0, 0)
    assert figures.charges == figures.credits
    assert figures.longest_s < CLAIM_MS / 1000 + SLACK_S
    assert figures.of_moment.keys() == MOMENTS.keys()


def turns() -> list[tuple[Token, str]]:
    """Which token is killed at which moment, tokens that take long and those that do not side by side."""
    if not KILLS:
        return list(zip(Token, cycle(MOMENTS), strict=False))
    return [*product(Token, MOMENTS)] * -(-KILLS // min(len(Token), len(MOMENTS)))


async def _batch(
    url: str,
    sandbox: Sandbox,
    killer: Undertaker,
    pairs: list[tuple[Token, str]],
    figures: Figures,
) -> None:
    """As many tenants, each with a dip and a worker that dies; then workers that live, and then the books."""
    async with AsyncExitStack() as stack:
        stages = [await _dipped(stack, url, sandbox, pair[0], n) for n, pair in enumerate(pairs)]
        if next(_numbers) % 2:
            await stack.enter_async_context(webhooks(stages[0]))
        orders = [
            {"tenant": stage.owner, "moment": moment, "claim_ms": CLAIM_MS}
            for stage, (_, moment) in zip(stages, pairs, strict=True)
        ]
        killed = await killer.kill(orders)
        figures.kills += killed
        figures.lived += len(orders) - killed
        tokens = [token for token, _ in pairs]
        figures.longest_s = max(figures.longest_s, await _recovered(stages, tokens))
        for stage, (token, moment) in zip(stages, pairs, strict=True):
            figures.of_moment[moment] = figures.of_moment.get(moment, 0) + 1
            figures.of_token[token] = figures.of_token.get(token, 0) + 1
            await _audit(stage, token, figures)


async def _dipped(
    stack: AsyncExitStack, url: str, sandbox: Sandbox, token: Token, number: int
) -> Stage:
    owner = f"killed{os.getpid()}-{next(_numbers)}"
    stage = await stack.enter_async_context(
        open_stage(url, owner, sandbox, claim_ms=CLAIM_MS, patience=PATIENT)
    )
    gateway = ("billing", "stripe")[number % 2]
    await stage.world.fund(150 * UNIT)
    await stage.set_rule(rule(methods=(method(token, gateway),)))
    await stage.spend(51)
    return stage


async def _recovered(stages: list[Stage], tokens: list[Token]) -> float:
    """Has two workers take over; how long it took until every recharge was where it can come to."""
    first = stages[0]
    workers = [
        asyncio.create_task(
            RechargeWorker(
                first.recharges,
                charging_of(first.world, first.recharges, first.payments, CLAIM_MS),
            ).run()
        )
        for _ in range(2)
    ]
    began_s = time.monotonic()
    try:
        while not all([await _done(*pair) for pair in zip(stages, tokens, strict=True)]):
            if time.monotonic() > began_s + LIMIT_S:
                pytest.fail(await _unfinished(stages, tokens))
            await asyncio.sleep(0.05)
    finally:
        for each in workers:
            each.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return time.monotonic() - began_s


async def _done(stage: Stage, token: Token) -> bool:
    view = await stage.recharges.view(stage.owner)
    if view.state in _FORWARDED and token not in WRONG:
        # It is asked after again a minute later, or more, and nobody waits for that here: its clock goes ahead of the store's,
        # and so of the worker's looks.
        await stage.wait(max(0, view.recharge.next_ms - view.now_ms) / 1000)
    return view.state is ENDS.get(token, RechargeState.ARMED) and not view.recharge.owner


async def _unfinished(stages: list[Stage], tokens: list[Token]) -> str:
    told = ""
    for stage, token in zip(stages, tokens, strict=True):
        if not await _done(stage, token):
            row = await stage.row()
            told += f"{token} {await stage.story()} {row.owner=} {row.rounds=} {row.code=}\n"
    return told


async def _audit(stage: Stage, token: Token, figures: Figures) -> None:
    """The provider's book and the ledger's, of one dip."""
    charges = stage.charges()
    taken = sum(each.times for each in charges)
    credited = await stage.settled() - 99
    figures.dips += 1
    figures.charges += 0 if token in WRONG else taken
    figures.credits += credited // 200
    figures.doubled += taken > 1 or credited > 200 or len(charges) > 1
    wanted = 0 if token in UNPAID else 1
    figures.lost += taken < wanted or (credited == 0 and bool(wanted) and token not in WRONG)
    if token not in WRONG:
        await stage.check()


def _write(figures: Figures) -> None:
    if path := os.environ.get("TALKTIME_RECHARGE_FIGURES"):
        told = {name: getattr(figures, name) for name in Figures.__dataclass_fields__}
        Path(path).write_text(json.dumps(told, indent=2) + "\n")
