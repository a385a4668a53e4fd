"""What the client does when the provider does not: never a second key, never longer than it may, and it says what it knows."""

import asyncio
import time
from dataclasses import replace

import pytest

from payments.stage import (
    AT_ONCE,
    GATEWAYS,
    PATIENCE,
    Stage,
    dead_url,
    gateway_at,
    intent_for,
    open_stage,
    silent_port,
    unhurried,
    until,
)
from talktime_server.payments import errors
from talktime_server.payments.gateway import Outcome
from talktime_server.payments.payments import (
    KEY_WINDOW_MS,
    MOST_TRIES,
    Payments,
    wait_before_round_s,
    worth_repeating,
)
from talktime_server.payments.sandbox import Token
from talktime_server.payments.spacing import Spacing, Turnstile

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("name", GATEWAYS)
async def test_what_was_never_sent_was_not_charged(name: str) -> None:
    payments = Payments(
        {name: gateway_at(name, await dead_url())}, patience=PATIENCE, spacing=AT_ONCE
    )
    result = await payments.charge(intent_for(name))
    assert (result.outcome, result.code) == (Outcome.NOT_CHARGED, "PROVIDER_UNREACHABLE")
    later = await payments.reconcile(intent_for(name), first_tried_ms_ago=1000)
    assert (later.outcome, later.code) == (Outcome.UNKNOWN, "PROVIDER_UNREACHABLE")
    with pytest.raises(errors.Unreachable):
        await payments.check(name)
    await payments.close()


@pytest.mark.parametrize("name", GATEWAYS)
async def test_what_was_sent_and_not_answered_is_unknown(name: str) -> None:
    async with silent_port() as url:
        payments = Payments({name: gateway_at(name, url)}, patience=PATIENCE, spacing=AT_ONCE)
        result = await payments.charge(intent_for(name))
        assert (result.outcome, result.code) == (Outcome.UNKNOWN, "PROVIDER_SILENT")
        await payments.close()


@pytest.mark.parametrize("name", GATEWAYS)
async def test_a_wrong_secret_is_seen_by_the_dry_run_and_charges_nothing(
    stage: Stage, name: str
) -> None:
    gateway = gateway_at(name, stage.sandbox.url)
    payments = Payments({name: gateway}, patience=PATIENCE, spacing=AT_ONCE)
    with pytest.raises(errors.BadCredentials):
        await payments.check(name)
    result = await payments.charge(intent_for(name, f"nobody:{name}"))
    assert (result.outcome, result.code) == (Outcome.NOT_CHARGED, "BAD_CREDENTIALS")
    assert f"nobody:{name}" not in stage.sandbox.keys
    await payments.close()


@pytest.mark.parametrize("name", GATEWAYS)
async def test_the_dry_run_charges_nothing(stage: Stage, name: str) -> None:
    before = len(stage.sandbox.charges)
    await stage.payments.check(name)
    assert len(stage.sandbox.charges) == before


async def test_a_gateway_that_is_not_set_up_charges_nothing(stage: Stage) -> None:
    result = await stage.payments.charge(intent_for("other"))
    assert (result.outcome, result.code) == (Outcome.NOT_CHARGED, "NO_GATEWAY")
    later = await stage.payments.reconcile(intent_for("other"), first_tried_ms_ago=0)
    assert later.outcome is Outcome.UNKNOWN
    with pytest.raises(errors.NoGateway):
        await stage.payments.check("other")


@pytest.mark.parametrize("name", GATEWAYS)
async def test_one_charge_id_is_never_two_charges(stage: Stage, name: str) -> None:
    """The same key with another sum is refused by the provider, and the first charge does not pass for the second."""
    intent = stage.intent(Token.APPROVED, name)
    await stage.payments.charge(intent)
    other = await stage.payments.charge(replace(intent, amount_micros=60_000_000))
    assert (other.outcome, other.code) == (Outcome.UNKNOWN, "KEY_REUSED")
    stolen = await stage.payments.charge(replace(intent, tenant_id="else"))
    assert stolen.outcome is Outcome.UNKNOWN
    assert stage.times(intent) == 1


@pytest.mark.parametrize("name", GATEWAYS)
async def test_after_the_keys_life_nothing_is_sent_any_more(stage: Stage, name: str) -> None:
    """Semantics 53."""
    intent = stage.intent(Token.APPROVED, name)
    told = await stage.payments.reconcile(intent, first_tried_ms_ago=KEY_WINDOW_MS)
    assert (told.outcome, told.code) == (Outcome.UNKNOWN, "PROVIDER_KNOWS_NOTHING")
    assert intent.charge_id not in stage.sandbox.keys
    inside = await stage.payments.reconcile(intent, first_tried_ms_ago=KEY_WINDOW_MS - 1)
    assert (inside.outcome, stage.times(intent)) == (Outcome.SUCCEEDED, 1)


@pytest.mark.parametrize("name", GATEWAYS)
async def test_what_the_provider_has_is_not_sent_again(stage: Stage, name: str) -> None:
    """Our clock may have jumped back over the key's life: a key that is forgotten charges anew."""
    intent = stage.intent(Token.TIMEOUT_AFTER_CHARGING, name)
    await stage.payments.charge(intent, tries=1)
    sent = len(stage.sandbox.keys[intent.charge_id])
    told = await stage.payments.reconcile(intent, first_tried_ms_ago=0)
    assert (told.outcome, stage.times(intent)) == (Outcome.SUCCEEDED, 1)
    assert len(stage.sandbox.keys[intent.charge_id]) == sent


@pytest.mark.parametrize("name", GATEWAYS)
async def test_a_provider_that_is_away_for_hours_sees_eight_tries(name: str) -> None:
    """F44: every round that there is, with no time between them; then a person decides."""
    async with open_stage(patience=replace(PATIENCE, first_wait_s=0.01)) as stage:
        stage.sandbox.away = True
        intent = stage.intent(Token.APPROVED, name)
        told = await stage.payments.charge(intent)
        rounds = 1
        while wait_before_round_s(rounds + 1) is not None:
            rounds += 1
            told = await stage.payments.reconcile(intent, first_tried_ms_ago=1000)
        posts = [each for each in stage.sandbox.requests if each.startswith("POST")]
        assert (told.outcome, told.code) == (Outcome.UNKNOWN, "PROVIDER_FAILED")
        # After the first round nothing is sent again before a look-up was answered: it may have charged.
        assert len(posts) + rounds - 1 == MOST_TRIES == 8
        assert len(stage.sandbox.requests) == len(posts) + rounds
        stage.sandbox.away = False
        back = await stage.payments.reconcile(intent, first_tried_ms_ago=1000)
        assert (back.outcome, stage.times(intent)) == (Outcome.SUCCEEDED, 1)


async def test_the_rounds_span_an_outage_of_six_hours_and_end_within_the_keys_life() -> None:
    waits = [wait_before_round_s(number) for number in range(1, MOST_TRIES)]
    known = [wait for wait in waits if wait is not None]
    assert known[0] == 0
    assert known == sorted(known)
    assert 6 * 3600 < sum(known) < KEY_WINDOW_MS / 1000
    assert waits[len(known) :] == [None] * (len(waits) - len(known))


async def test_a_provider_that_fails_is_left_alone_and_probed() -> None:
    """One probe after the rest; its success lets everybody through again."""
    now_s = 0.0
    turnstile = Turnstile(Spacing(gap_s=0, failures=3, rest_s=60), ticks=lambda: now_s)
    for _ in range(3):
        await turnstile.enter()
        turnstile.failed()
    with pytest.raises(errors.Resting):
        await turnstile.enter()
    now_s = 60.0
    await turnstile.enter()
    with pytest.raises(errors.Resting):
        await turnstile.enter()
    turnstile.failed()
    now_s = 119.0
    with pytest.raises(errors.Resting):
        await turnstile.enter()
    now_s = 120.0
    await turnstile.enter()
    turnstile.answered()
    await turnstile.enter()


async def test_what_is_left_alone_was_not_charged() -> None:
    async with open_stage(spacing=Spacing(gap_s=0, failures=3)) as stage:
        stage.sandbox.away = True
        await stage.payments.charge(stage.intent(Token.APPROVED, "billing"))
        asked = len(stage.sandbox.requests)
        told = await stage.payments.charge(stage.intent(Token.APPROVED, "billing"))
        assert (told.outcome, told.code) == (Outcome.NOT_CHARGED, "PROVIDER_RESTING")
        assert len(stage.sandbox.requests) == asked


async def test_many_that_come_back_at_once_go_through_one_by_one() -> None:
    """F44: no more than ten a second; here with a shorter queue."""
    spacing = Spacing(longest_queue_s=0.5)
    async with unhurried(spacing) as stage:
        intents = [stage.intent(Token.APPROVED, "billing") for _ in range(30)]
        began = time.monotonic()
        told = await asyncio.gather(*(stage.payments.charge(each) for each in intents))
        paid = [each for each in told if each.outcome is Outcome.SUCCEEDED]
        assert time.monotonic() - began > 0.099 * (len(paid) - 1)
        assert 5 <= len(paid) < 30  # more than six only where they were slow to come
        rest = {(each.outcome, each.code) for each in told} - {(Outcome.SUCCEEDED, "")}
        assert rest == {(Outcome.NOT_CHARGED, "PROVIDER_RESTING")}


async def test_no_charge_takes_longer_than_all_its_tries_may() -> None:
    patience = replace(PATIENCE, attempt_s=5.0, total_s=1.0)
    async with open_stage(patience=patience, timeout_s=5.0) as stage:
        intent = stage.intent(Token.DRIP, "billing")
        began = time.monotonic()
        told = await stage.payments.charge(intent)
        assert time.monotonic() - began < 4.0
        assert (told.outcome, stage.times(intent)) == (Outcome.SUCCEEDED, 1)
        assert len(stage.sandbox.keys[intent.charge_id]) == 1


@pytest.mark.parametrize("name", GATEWAYS)
async def test_a_charge_that_is_cancelled_leaves_nothing_open(name: str) -> None:
    """The provider sees its connection end, nothing is tried again, and the charge stays answerable."""
    opened, ended = [], []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append(await reader.readuntil(b"\r\n\r\n"))
        while await reader.read(4096):
            pass
        ended.append(True)
        writer.close()

    async with await asyncio.start_server(listen, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        payments = Payments({name: gateway_at(name, url)}, patience=PATIENCE, spacing=AT_ONCE)
        charging = asyncio.create_task(payments.charge(intent_for(name)))
        await until(lambda: bool(opened))
        charging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await charging
        await until(lambda: bool(ended))
        assert (len(opened), len(ended)) == (1, 1)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert not [each for each in others if "payments" in repr(each.get_coro())]
        await payments.close()


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (errors.Unreachable("x"), True),
        (errors.Busy("x"), True),
        (errors.Silent("x"), True),
        (errors.ProviderFailed("x"), True),
        (errors.InProgress("x"), True),
        (errors.Resting("x"), False),
        (errors.NoGateway("x"), False),
        (errors.BadCredentials("x"), False),
        (errors.BadRequest("x"), False),
        (errors.KeyReused("x"), False),
        (errors.WrongReply("x"), False),
        (errors.UnreadableReply("x"), False),
        (asyncio.CancelledError(), False),
        (TimeoutError(), False),
        (RuntimeError(), False),
        (KeyboardInterrupt(), False),
    ],
    ids=lambda each: type(each).__name__,
)
async def test_what_is_worth_repeating(error: BaseException, again: bool) -> None:
    assert worth_repeating(error) is again
