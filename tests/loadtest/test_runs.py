"""Small loads against a real service: everything that the clients saw stands in the service's own books."""

import dataclasses

import pytest

from loadtest.conftest import ENGINE
from talktime_loadtest.asking import Kind
from talktime_loadtest.checking import Seen, differences, seen_by_clients
from talktime_loadtest.orders import Protocol, Shape
from talktime_loadtest.preparing import Scene, Service, prepare
from talktime_loadtest.running import (
    LAST_CALLS_PAID,
    Load,
    books_of,
    last_cent,
    measure,
    price_of,
    run,
)
from talktime_server.config import Engine

SHORT = Load(per_message=8, in_flight=32, seconds=0.4, repeats=1, warm_up_seconds=0.2)
PROTOCOLS = [each for each in Protocol if ENGINE is Engine.ENVOY or each is not Protocol.JSON]


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=str)
async def test_both_books_agree(protocol: Protocol, service: Service, scene: Scene) -> None:
    load = dataclasses.replace(SHORT, protocol=protocol)
    outcome = await run(service, scene, load)
    assert outcome.fine, (outcome.unwanted, outcome.differences)
    figures = outcome.figures
    # Whatever was open when the load ended has been settled.
    assert figures.total("granted") == figures.total("settled") > 0
    assert figures.repeats[0].answered > 0


async def test_every_kind_and_every_duplicate_is_answered_as_it_must_be(
    service: Service, scene: Scene
) -> None:
    mix = ((Kind.AUTHORIZE, 4), (Kind.EXTEND, 1), (Kind.SETTLE, 3), (Kind.REFUSE, 1))
    load = dataclasses.replace(SHORT, mix=mix, duplicate_every=5, shape=Shape.ONE_BIG)
    outcome = await run(service, scene, load)
    assert outcome.fine, (outcome.unwanted, outcome.differences)
    figures = outcome.figures
    assert set(figures.counts) == set(Kind)
    assert figures.sum_of("repeated") > 0
    granted = [sum(book["granted"][place] for book in figures.books) for place in range(3)]
    assert granted[0] > 2 * sum(granted[1:])


async def test_two_generators_share_a_load(service: Service, scene: Scene) -> None:
    load = dataclasses.replace(SHORT, processes=2, clients=2)
    outcome = await run(service, scene, load)
    assert outcome.fine, (outcome.unwanted, outcome.differences)
    assert [sum(book["granted"]) > 0 for book in outcome.figures.books] == [True, True]


async def test_the_last_cent_is_spent_once(service: Service, scene: Scene) -> None:
    """A thousand callers, credit for a hundred calls: exactly a hundred are granted."""
    paid = LAST_CALLS_PAID * await price_of(service, scene)
    poor = dataclasses.replace(scene, prefix="poor", tenants=1, funds_micros=paid)
    load = dataclasses.replace(last_cent(SHORT), seconds=30.0)
    outcome = await run(service, poor, load)
    assert outcome.fine, (outcome.unwanted, outcome.differences)
    figures = outcome.figures
    assert figures.total("granted") == LAST_CALLS_PAID
    assert figures.reasons == {"INSUFFICIENT_CREDITS": 1_000 - LAST_CALLS_PAID}


async def test_a_difference_between_the_books_is_told(service: Service, scene: Scene) -> None:
    stage = await prepare(service, scene, "books")
    before = await books_of(service, stage)
    load = dataclasses.replace(SHORT, settle_all=False, mix=((Kind.AUTHORIZE, 1),), count=30)
    figures = await measure(service, stage, dataclasses.replace(load, seconds=30.0))
    after = await books_of(service, stage)
    seen = seen_by_clients(stage.tenants, figures.books)
    assert differences(before, after, seen) == []
    first, *_ = stage.tenants
    doctored = {**seen, first: Seen(seen[first].granted + 1, 0, 0, 7)}
    told = differences(before, after, doctored)
    assert [line.split(": ")[1] for line in told] == [
        "open calls",
        "micros charged",
        "journal lines",
    ]
