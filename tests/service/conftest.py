"""A running service on each engine, kept for the whole session, and a tenant of its own for each test."""

import contextlib
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import pytest

import talktime
from service.raw import Raw
from service.running import Running, Served, Service, until
from service.site import CURRENCY, DECK, LONDON, ROWS, Patient, Site
from talktime import Client, DeadlineExceeded, Unavailable
from talktime_server.config import Engine
from talktime_server.decision import catalog
from talktime_server.rpc import envoy

OBSTACLE = envoy.obstacle()
ENGINES = [Engine.GRPCIO] if OBSTACLE else [Engine.GRPCIO, Engine.ENVOY]
CONNECTIONS = 16


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if OBSTACLE:
        terminalreporter.write_line(f"the service was tested on grpcio alone: {OBSTACLE}")


@pytest.fixture(scope="session", params=ENGINES, ids=str)
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine that runs here."""
    return Engine(request.param)


@pytest.fixture(scope="session")
def services(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[Engine], Service]]:
    """Gives an engine's service, with the demo deck and the tests' own deck in force. Each is started once, when it is first
    asked for: the tests of the engines take turns.
    """
    with contextlib.ExitStack() as stack:

        @cache
        def service_of(engine: Engine) -> Service:
            running = Service(engine, tmp_path_factory.mktemp("service")).start()
            stack.callback(running.stop)
            put_decks(running)
            return running

        yield service_of


@pytest.fixture(scope="session")
def service(engine: Engine, services: Callable[[Engine], Service]) -> Service:
    """The service of the engine whose turn it is."""
    return services(engine)


def put_decks(service: Running) -> None:
    """Puts both decks in force, and has the archive at hand, in every process."""
    demo = catalog.demo_deck()
    rows = [talktime.RateRow(*row) for row in demo.rows]
    with contextlib.ExitStack() as stack:
        operators = [stack.enter_context(_operator(service)) for _ in range(CONNECTIONS)]
        for version, currency, deck in (("demo", demo.currency, rows), (DECK, CURRENCY, ROWS)):
            operators[0].put_rate_deck(version, currency, deck)
            operators[0].activate_rate_deck(version, len(deck))
        until(lambda: all(len(o.get_rate_decks(LONDON).rates) == 2 for o in operators))
        for operator in operators:
            until(partial(_archive_at_hand, operator), within_s=20)


def _archive_at_hand(operator: Client) -> bool:
    """On a busy machine the first question may take longer than a client waits; where the archive is away, there is none."""
    try:
        operator.get_archive_status()
    except DeadlineExceeded:
        return False
    except Unavailable:
        return True
    return True


def _operator(service: Running) -> Client:
    return Patient(service.address, service.operator, timeout_s=2.0)


@pytest.fixture
def served(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The command, with both decks in force; its store has time; what a test did not stop is stopped."""
    running = Served(engine, tmp_path_factory.mktemp("served"), store_timeout_ms=2_000).start()
    try:
        put_decks(running)
        yield running
    finally:
        if running.process.poll() is None:
            running.stop()


@pytest.fixture
def make_site(service: Service) -> Iterator[Callable[..., Site]]:
    """Makes tenants; at the end each proves that its money was conserved."""
    sites: list[Site] = []

    def make(**settings: Any) -> Site:
        sites.append(Site.open(service, **settings))
        return sites[-1]

    yield make
    for site in sites:
        site.close()


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    """A tenant with ten units of money: some 166 minutes to LONDON."""
    made = make_site()
    made.fund(10_000_000)
    return made


@pytest.fixture
def raw(service: Service) -> Iterator[Raw]:
    """A channel for bytes, as the router."""
    channel = Raw(service.address, service.router)
    yield channel
    channel.close()


@pytest.fixture(scope="session")
def crowd(service: Service) -> Iterator[list[Client]]:
    """Clients on so many connections that every process of the service has some of them."""
    clients: list[Client] = [
        Patient(service.address, service.router, timeout_s=2.0) for _ in range(CONNECTIONS)
    ]
    yield clients
    for client in clients:
        client.close()
