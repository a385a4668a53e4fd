"""Fixtures for the tests of the edge."""

from pathlib import Path

import pytest

from rpc.edge_kit import Kit, make_kit


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return make_kit(tmp_path / "tokens.json")
