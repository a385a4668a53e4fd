"""Each engine in turn."""

import pytest

from talktime_server.config import Engine


@pytest.fixture(params=(Engine.ENVOY, Engine.GRPCIO), ids=str)
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine; both must be able to run where the tests run."""
    return Engine(request.param)
