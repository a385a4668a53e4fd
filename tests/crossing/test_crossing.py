"""talktime against the second reading of the business: over all that may matter together they must say the same, to the second
and the micro (domain.md 2, 3, 4 and 8).
"""

from collections import Counter
from dataclasses import dataclass
from functools import cache
from itertools import groupby, product

import pytest

from crossing import tables
from crossing.cases import Tenant, Verdict
from crossing.reading import read
from crossing.staff import COUNTRIES, STAFF
from crossing.stage import open_stage
from crossing.walk import BOUGHT, CALL_TYPES, Step, left_s, walk
from stores import StoreProcess

LEAST_CASES = 50_000
LEAST_OF_A_ROW = 20
MOST_SHOWN = 20
# A decision's own refusals at the start of a call. Limits on calls and spend are the ledger's, and tested there.
REASONS = [
    "TENANT_SUSPENDED",
    "PAYER_UNKNOWN",
    "PAYER_BLOCKED",
    "POLICY",
    "PREMIUM_BARRED",
    "NO_LICENSE",
    "NO_CREDITS_LICENSE",
    "NO_RATE",
    "RATE_CEILING",
    "POOL_EXHAUSTED",
    "INSUFFICIENT_CREDITS",
]

CALLING_FOR_HELP = ["", "MCOPSTN2", "blocked", "own DialoutCPCandPSTNDisabled"]
USER_FORMS = [call_type for call_type in CALL_TYPES if call_type.startswith("USER_OUT")]
Line = tuple[str, str]  # a row of the funding table, and a form of call that it speaks of
LINES: list[Line] = [
    (row, form)
    for row in tables.ROWS
    for form in (USER_FORMS if row.startswith("user_out") else [row.split()[0].upper()])
]


@cache
def expected() -> list[tuple[Step, Verdict]]:
    """The walk, and what the second reading says to each step of it."""
    left = {state: left_s(state) for state in BOUGHT}
    return [(step, read(step.case(left[step.pools.state]))) for step in walk()]


def test_the_walk_is_long_and_reaches_every_refusal() -> None:
    reached = Counter(verdict.reason for _, verdict in expected() if verdict.reason)
    assert len(expected()) >= LEAST_CASES
    assert sorted(reached) == sorted(REASONS)
    assert min(reached.values()) >= 100, reached


def test_every_row_of_the_funding_table_is_granted_and_refused() -> None:
    """Each in every form of a call that it speaks of: parties, transfers and forwards are funded like dialling."""
    granted, refused = Counter[Line](), Counter[Line]()
    for step, verdict in expected():
        lines = [(row, step.call_type) for row in verdict.rows]
        (granted if verdict.sources else refused).update(lines)
    assert {row for row, _ in LINES} == set(tables.ROWS)
    assert {line: granted[line] for line in LINES if granted[line] < LEAST_OF_A_ROW} == {}
    assert {line: refused[line] for line in LINES if refused[line] < LEAST_OF_A_ROW} == {}


@pytest.mark.parametrize("kind", ["INCLUDED", "POOL", "CREDITS", "POSTPAID"])
def test_every_source_pays_alone_and_with_others(kind: str) -> None:
    grants = [[source.kind for source in verdict.sources] for _, verdict in expected()]
    assert sum(kinds == [kind] for kinds in grants) >= 100
    mixed = sum(kind in kinds and len(kinds) > 1 for kinds in grants)
    assert mixed >= 100 or kind == "INCLUDED"


@pytest.mark.timeout(180)
@pytest.mark.parametrize("state", BOUGHT)
async def test_talktime_says_what_the_second_reading_says(
    crossing_store: StoreProcess, state: str
) -> None:
    mine = [pair for pair in expected() if pair[0].pools.state == state]
    differences: list[Difference] = []
    async with open_stage(crossing_store.url, "crossed", state) as stage:
        for (tenant, balance), group in groupby(mine, lambda p: (p[0].tenant, p[0].balance_micros)):
            await stage.set(tenant, balance)
            steps, verdicts = zip(*group, strict=True)
            answers = await stage.verdicts(steps)
            differences += [
                Difference(step, answer, verdict)
                for step, answer, verdict in zip(steps, answers, verdicts, strict=True)
                if (answer.reason, answer.sources) != (verdict.reason, verdict.sources)
            ]
    sorts = {each.sort: each for each in differences}
    shown = "\n".join(each.told() for each in list(sorts.values())[:MOST_SHOWN])
    assert not differences, f"{len(differences)} of {len(mine)} differ, of each sort one:\n{shown}"


@pytest.mark.parametrize("suspended", [False, True])
async def test_calls_for_help_always_pass(crossing_store: StoreProcess, suspended: bool) -> None:
    """The row of emergencies: whoever calls, without licence, blocked, unknown, by any policy, of a suspended tenant."""
    dialled = sorted({*set().union(*tables.EMERGENCY_NUMBERS.values()), "933", "+1911"})
    rules = Tenant(suspended=suspended, policy="DialoutCPCandPSTNDisabled")
    async with open_stage(crossing_store.url, "crossed", "fresh") as stage:
        await stage.set(rules, 0)
        for country, kind, number in product(COUNTRIES, CALLING_FOR_HELP, dialled):
            here = tables.EMERGENCY_NUMBERS[country]
            passed = await stage.helps(STAFF[country][kind].payer_id, "USER_OUT", number)
            assert passed == (number in here), (country, kind, number)
        for number in set().union(*tables.EMERGENCY_NUMBERS.values()):
            assert await stage.helps("nobody", "UCAP_OUT", number), number
        assert not await stage.helps("nobody", "UCAP_OUT", "+1911")


@dataclass(frozen=True)
class Difference:
    """A step that the two see differently."""

    step: Step
    talktime: Verdict
    reading: Verdict

    @property
    def sort(self) -> tuple[str, ...]:
        """What it has in common with others, so that one of each can be shown."""
        said = [in_words(verdict).split(" for ")[0] for verdict in (self.talktime, self.reading)]
        return self.step.call_type, self.step.kind, *said

    def told(self) -> str:
        """In words."""
        step = self.step
        return (
            f"{step.call_type} of {step.asked_s} s from {step.country}, payer [{step.kind}],"
            f" to {step.number}, caller [{step.caller_country}],"
            f" pools {step.pools}, balance {step.balance_micros}, {step.tenant}\n"
            f"   talktime: {in_words(self.talktime)}\n"
            f"    reading: {in_words(self.reading)}"
        )


def in_words(verdict: Verdict) -> str:
    """A verdict as people say it."""
    if verdict.reason:
        return f"refused, {verdict.reason}"
    parts = [
        f"{source.seconds} s of {source.pool or source.kind.lower()} for {source.micros} micros"
        for source in verdict.sources
    ]
    return "granted, " + ", then ".join(parts)
