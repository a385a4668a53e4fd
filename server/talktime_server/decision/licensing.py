"""Rules on giving licences to a payer."""

from talktime_server.decision import catalog
from talktime_server.decision.catalog import LicenseKind
from talktime_server.failure import Conflict
from talktime_server.ledger.profiles import Payer

_CREDITS = catalog.skus(LicenseKind.CREDITS)
_BESIDE_CREDITS = catalog.skus(
    LicenseKind.CALLING_PLAN,
    LicenseKind.PAY_AS_YOU_GO,
    LicenseKind.CONFERENCING,
    LicenseKind.CONFERENCING_PER_MINUTE,
)


def give(old: Payer | None, new: Payer) -> None:
    """Checks what a payer is given; `old` is the payer as it was, None for a new one.

    Raises Conflict CREDITS_LICENSE_ALONE when the credits licence comes new to who has neither a
    calling plan nor conferencing after the change (domain.md 1). Who has it keeps it, whatever is
    taken away beside it.
    """
    had = old is not None and not _CREDITS.isdisjoint(old.licenses)
    if had or _CREDITS.isdisjoint(new.licenses) or not _BESIDE_CREDITS.isdisjoint(new.licenses):
        return
    raise Conflict(
        "CREDITS_LICENSE_ALONE",
        f"payer {new.payer_id} would have the credits licence alone; give it a calling plan,"
        " pay-as-you-go or audio conferencing first, or together with it",
        facts={"payer_id": new.payer_id},
    )
