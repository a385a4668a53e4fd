"""A running service for the loads of the tests, kept for the whole session."""

from collections.abc import Iterator

import pytest

from service.running import Service as Served
from talktime_loadtest.preparing import Scene, Service
from talktime_server.config import Engine
from talktime_server.rpc import envoy

# JSON over HTTP is Envoy's; where that does not run, the rest is loaded on the reference engine.
ENGINE = Engine.GRPCIO if envoy.obstacle() else Engine.ENVOY


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Where it is, and an operator's token."""
    running = Served(ENGINE, tmp_path_factory.mktemp("load"), workers=1, back_office="no").start()
    try:
        yield Service(running.address, running.operator, running.router)
    finally:
        running.stop()


@pytest.fixture
def scene() -> Scene:
    """A few tenants with a few payers."""
    return Scene(tenants=3, payers=2)
