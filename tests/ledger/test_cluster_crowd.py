"""Callers on several machines at the same moment, on tenants of a cluster: as many grants as there is money for."""

import pytest

from clusters import ClusterProcess
from ledger.test_concurrency import (  # noqa: F401  # the same tests, over another store
    crowd,
    test_a_hundred_callers_on_the_last_cent_get_exactly_what_there_is,
    test_a_settle_and_the_sweeper_end_a_hold_once,
    test_a_settle_may_overtake_its_authorize,
    test_a_thousand_callers_get_the_minutes_that_are_left_and_then_the_credits,
    test_one_id_at_once_from_everywhere_has_one_effect_and_one_answer,
)


@pytest.fixture(scope="module")
def store_process(cluster: ClusterProcess) -> ClusterProcess:
    """In place of a single server."""
    return cluster
