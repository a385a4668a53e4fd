"""The credits licence goes only to who has a calling plan or conferencing beside it (domain.md 1)."""

import pytest

from talktime_server.decision.licensing import give
from talktime_server.failure import Conflict
from talktime_server.ledger.profiles import Payer


def alice(licenses: str) -> Payer:
    return Payer("alice", "US", licenses=tuple(licenses.split()))


@pytest.mark.parametrize(
    "beside",
    ["MCOPSTN1", "MCOPSTN9", "MCOPSTN_PAYG_2", "MCOMEETADV", "MCOMEETADD_TATA", "MCOMEETACPEA_GOV"],
)
@pytest.mark.parametrize("credits_sku", ["MCOPSTNC", "MCOPSTNPP"])
def test_a_plan_or_conferencing_beside_it_will_do(credits_sku: str, beside: str) -> None:
    give(None, alice(f"{credits_sku} {beside}"))
    give(alice(beside), alice(f"{beside} {credits_sku}"))


@pytest.mark.parametrize("beside", ["", "MCOEV", "CONF_DIALOUT_US_CA", "MCOEV_VIRTUALUSER MCOCAP"])
@pytest.mark.parametrize("old", [None, "", "MCOPSTN1"])
def test_alone_it_cannot_be_given(old: str | None, beside: str) -> None:
    with pytest.raises(Conflict, match="credits licence alone") as raised:
        give(None if old is None else alice(old), alice(f"MCOPSTNC {beside}"))
    assert raised.value.reason == "CREDITS_LICENSE_ALONE"
    assert raised.value.facts == {"payer_id": "alice"}


def test_what_is_taken_away_beside_it_does_not_take_it_back() -> None:
    give(alice("MCOPSTNC MCOPSTN1"), alice("MCOPSTNC"))
    give(alice("MCOPSTNC MCOPSTN1"), alice("MCOPSTNPP"))


def test_other_licences_need_nothing_beside_them() -> None:
    give(None, alice("MCOEV"))
    give(alice("MCOPSTN1"), alice(""))
