"""Which deck is in force where, told what time it is; and the store's time, told from the process's."""

from math import inf

import pytest

from talktime_server.decision.timelines import StoreClock, Timelines
from talktime_server.ledger.decks import Scope, Switch

ALL, ACME = Scope("USD"), Scope("USD", "acme")


def timelines(**by_scope: list[tuple[int, str]]) -> Timelines:
    """Timelines for `all` and `acme`, each as (from when on, deck)."""
    scopes = {"all": ALL, "acme": ACME}
    made = Timelines()
    for name, switches in by_scope.items():
        made.put(scopes[name], tuple(Switch(at, deck) for at, deck in switches))
    return made


def test_the_last_switch_that_is_over_is_in_force() -> None:
    made = timelines(all=[(10, "v1"), (20, "v2"), (30, "v3")])
    assert dict(made.turn(25)) == {ALL: "v2"}
    assert made.versions() == {"v2", "v3"}
    assert made.next_turn_ms() == 30
    assert dict(made.turn(29)) == {}
    assert dict(made.turn(30)) == {ALL: "v3"}
    assert (made.versions(), made.next_turn_ms()) == ({"v3"}, inf)


def test_nothing_is_in_force_before_the_first_switch() -> None:
    made = timelines(all=[(10, "v1")])
    assert dict(made.turn(9)) == {ALL: ""}
    assert (made.versions(), made.next_turn_ms()) == ({"v1"}, 10)


def test_a_tenants_deck_out_of_force_is_forgotten_when_it_is_over() -> None:
    made = timelines(all=[(10, "v1")], acme=[(10, "v2"), (20, "")])
    assert dict(made.turn(15)) == {ALL: "v1", ACME: "v2"}
    assert dict(made.turn(20)) == {ACME: ""}
    assert made.versions() == {"v1"}


def test_of_two_switches_at_one_instant_the_later_asked_counts() -> None:
    assert dict(timelines(all=[(10, "v1"), (10, "v2")]).turn(10)) == {ALL: "v2"}


def test_what_is_forgotten_is_out_of_force_at_the_next_turn() -> None:
    made = timelines(all=[(10, "v1")], acme=[(10, "v1"), (99, "v2")])
    assert len(dict(made.turn(10))) == 2
    made.forget()
    made.put(ALL, (Switch(10, "v1"),))
    assert dict(made.turn(11)) == {ALL: "v1", ACME: ""}
    assert (made.versions(), made.next_turn_ms()) == ({"v1"}, inf)


def test_a_version_is_in_use_while_any_scope_has_it() -> None:
    made = timelines(all=[(10, "v1")], acme=[(10, "v1")])
    dict(made.turn(10))
    made.put(ALL, (Switch(10, "v1"), Switch(20, "v2")))
    dict(made.turn(20))
    assert made.versions() == {"v1", "v2"}
    made.put(ACME, ())
    assert made.versions() == {"v2"}


@pytest.mark.parametrize("store_s", [0, 1_800_000_000])
def test_the_stores_time_is_told_between_its_readings(store_s: int) -> None:
    clock = StoreClock()
    clock.hear(store_s * 1000, 100.0, 100.0)
    assert clock.store_ms(101.5) == pytest.approx(store_s * 1000 + 1_500, abs=1)
    assert clock.process_s(store_s * 1000 + 1_500) == pytest.approx(101.5, abs=0.001)


def test_a_slow_reading_does_not_replace_a_quick_one() -> None:
    clock = StoreClock()
    clock.hear(1_000_000, 100.0, 100.001)
    clock.hear(1_000_210, 100.2, 100.3)  # the store may have been asked at any time between
    assert clock.store_ms(100.0) == pytest.approx(1_000_000, abs=1.5)


def test_a_clock_that_was_set_is_believed_at_once() -> None:
    clock = StoreClock()
    clock.hear(1_000_000, 100.0, 100.001)
    clock.hear(1_060_210, 100.2, 100.3)
    assert clock.store_ms(100.25) == pytest.approx(1_060_210, abs=2)


def test_a_clock_that_drifts_is_followed() -> None:
    """A quick reading ages, so that slower ones take its place in the end."""
    clock = StoreClock()
    clock.hear(1_000_000, 100.0, 100.0001)
    for n in range(1, 60):
        at = 100 + n / 5
        clock.hear(1_000_000 + round(n * 201), at - 0.002, at + 0.002)
    assert clock.store_ms(112.0) == pytest.approx(1_012_060, abs=15)


def test_a_scopes_text_reads_back() -> None:
    for scope in (ALL, ACME, Scope("USD", "", True), Scope("USD", "acme", True)):
        assert Scope.read(str(scope)) == scope
