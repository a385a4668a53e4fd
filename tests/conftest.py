"""What holds for every test of the house."""

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def log_of_its_own() -> Iterator[None]:
    """A command that a test runs in this process sets the log up, and writes it to where that test looks."""
    yield
    structlog.reset_defaults()
