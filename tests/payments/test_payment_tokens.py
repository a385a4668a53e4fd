"""Every token of the sandbox over both gateways: one charge for each intent, counted at the sandbox, and the right word."""

import asyncio

import pytest

from payments.stage import DOLLARS_50, GATEWAYS, Stage, open_stage, unhurried
from talktime_server.payments.gateway import Intent, Outcome, Result
from talktime_server.payments.payments import Payments
from talktime_server.payments.sandbox import Token

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAID, DECLINED = Outcome.SUCCEEDED, Outcome.DECLINED
ROUNDS = 10  # of asking after a charge, at most
# Token, what the client says, its code, and whether one try is enough.
ROWS = (
    (Token.APPROVED, PAID, "", True),
    (Token.DECLINED, DECLINED, "insufficient_funds", True),
    (Token.EXPIRED_CARD, DECLINED, "expired_card", True),
    (Token.ACTION_REQUIRED, Outcome.ACTION_REQUIRED, "", True),
    (Token.PENDING, Outcome.PENDING, "", True),
    (Token.SLOW, PAID, "", False),
    (Token.TIMEOUT_AFTER_CHARGING, PAID, "", False),
    (Token.ERROR_AFTER_CHARGING, PAID, "", False),
    (Token.RESET_MID_REPLY, PAID, "", False),
    (Token.DUPLICATE_WEBHOOK, PAID, "", True),
    (Token.WEBHOOK_BEFORE_REPLY, PAID, "", True),
    (Token.UNAVAILABLE, PAID, "", False),
    (Token.RATE_LIMITED, PAID, "", False),
    (Token.CONFLICT, PAID, "", False),
    # Hostile answers are not believed; what the look-up says is.
    (Token.OTHER_CHARGE, PAID, "", True),
    (Token.HTML, PAID, "", True),
    (Token.ENDLESS, PAID, "", True),
    (Token.REDIRECT, PAID, "", True),
    (Token.DRIP, PAID, "", False),
    # Here the provider itself took something else: nobody can say what that is worth.
    (Token.WRONG_AMOUNT, Outcome.UNKNOWN, "WRONG_AMOUNT", True),
    (Token.OTHER_CURRENCY, Outcome.UNKNOWN, "WRONG_CURRENCY", True),
)


ONCE = {row[0] for row in ROWS if row[3]}


async def test_every_token_has_its_row() -> None:
    assert {row[0] for row in ROWS} == set(Token)


@pytest.mark.parametrize("gateway", GATEWAYS)
@pytest.mark.parametrize(("token", "outcome", "code", "once"), ROWS, ids=lambda each: str(each))
async def test_each_sandbox_card_ends_as_its_token_says(
    gateway: str, token: Token, outcome: Outcome, code: str, once: bool
) -> None:
    async with unhurried() if once else open_stage() as stage:
        intent = stage.intent(token, gateway)
        result = await stage.payments.charge(intent)
    assert (result.outcome, result.code) == (outcome, code)
    assert (result.amount_micros, result.currency) == (DOLLARS_50, "USD")
    assert stage.times(intent) == (outcome in (PAID, Outcome.UNKNOWN))
    keys = stage.sandbox.keys[intent.charge_id]
    assert set(keys) == {intent.charge_id}
    assert len(keys) == 1 if once else 1 < len(keys) <= 3
    answered = outcome is not Outcome.UNKNOWN
    assert (result.provider_id != "") == answered


@pytest.mark.parametrize("gateway", GATEWAYS)
@pytest.mark.parametrize("token", Token)
async def test_reconciling_gives_the_same_answer_and_takes_nothing_more(
    gateway: str, token: Token
) -> None:
    """Semantics 52: the same key again, however the first try ended."""
    async with (
        unhurried() if token in ONCE else open_stage() as stage,
        stage.unhurried_payments() as patient,
    ):
        intent = stage.intent(token, gateway)
        first = await stage.payments.charge(intent)
        again = await patient.reconcile(intent, first_tried_ms_ago=1000)
        late = await patient.reconcile(intent, first_tried_ms_ago=25 * 3600 * 1000)
    assert _told(again) == _told(late)
    # A busy machine may be silent as long as a bad provider, but not as long as a patient client waits.
    assert _told(first) == _told(late) or (token not in ONCE and first.outcome is Outcome.UNKNOWN)
    assert stage.times(intent) <= 1
    assert set(stage.sandbox.keys[intent.charge_id]) == {intent.charge_id}


def _told(result: Result) -> tuple[Outcome, str, str]:
    return result.outcome, result.provider_id, result.action_url


@pytest.mark.parametrize("gateway", GATEWAYS)
async def test_an_action_has_a_page(gateway: str) -> None:
    """Semantics 55; and once the payer was there, the charge is paid."""
    async with unhurried() as stage:
        intent = stage.intent(Token.ACTION_REQUIRED, gateway)
        told = await stage.payments.charge(intent)
        assert told.action_url == f"https://bank.example.com/confirm/{told.provider_id}"
        stage.sandbox.act(intent.charge_id)
        late = await stage.payments.reconcile(intent, first_tried_ms_ago=25 * 3600 * 1000)
        assert (late.outcome, stage.times(intent)) == (Outcome.SUCCEEDED, 1)


@pytest.mark.parametrize("gateway", GATEWAYS)
async def test_two_workers_that_charge_the_same_intent_take_one_sum(
    stage: Stage, gateway: str
) -> None:
    """Semantics 56: who takes over a claim has the same charge id."""
    for token in (Token.APPROVED, Token.SLOW, Token.TIMEOUT_AFTER_CHARGING):
        intent = stage.intent(token, gateway)
        told = await asyncio.gather(*(stage.payments.charge(intent) for _ in range(5)))
        assert stage.times(intent) == 1
        assert {each.outcome for each in told} <= {Outcome.SUCCEEDED, Outcome.UNKNOWN}
        async with stage.unhurried_payments() as patient:
            again = await patient.reconcile(intent, first_tried_ms_ago=0)
            settled = await _asked_after(patient, intent, again)
        assert settled.outcome is Outcome.SUCCEEDED


async def _asked_after(patient: Payments, intent: Intent, result: Result) -> Result:
    """A crowd turns some away, and one may still be at work: they are asked after by and by, as the worker does."""
    for _ in range(ROUNDS):
        if result.outcome is not PAID:
            result = await patient.reconcile(intent, first_tried_ms_ago=0)
    return result


@pytest.mark.parametrize("gateway", GATEWAYS)
async def test_a_hundred_charges_with_every_fault_among_them_are_a_hundred_charges(
    stage: Stage, gateway: str
) -> None:
    faults = [row[0] for row in ROWS if row[1] is PAID]
    intents = [stage.intent(faults[n % len(faults)], gateway) for n in range(100)]
    told = await asyncio.gather(*(stage.payments.charge(each) for each in intents))
    async with stage.unhurried_payments() as patient:
        for intent, result in zip(intents, told, strict=True):
            settled = await _asked_after(patient, intent, result)
            assert settled.outcome is PAID
            assert stage.times(intent) == 1


@pytest.mark.parametrize("gateway", GATEWAYS)
async def test_yen_and_won_have_no_cents(gateway: str) -> None:
    async with open_stage() as stage:
        method = stage.sandbox.method(Token.APPROVED, gateway=gateway)
        for currency, amount_micros in (("JPY", 5000_000_000), ("KWD", 1_230_000)):
            intent = Intent(f"c:{currency}", "acme", amount_micros, currency, method)
            result = await stage.payments.charge(intent)
            assert (result.outcome, result.amount_micros) == (PAID, amount_micros)
            odd = Intent(f"c:odd{currency}", "acme", amount_micros + 1, currency, method)
            refused = await stage.payments.charge(odd)
            assert (refused.outcome, refused.code) == (Outcome.NOT_CHARGED, "AMOUNT_NOT_PAYABLE")
            assert odd.charge_id not in stage.sandbox.keys
