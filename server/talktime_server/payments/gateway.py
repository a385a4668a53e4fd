"""What is asked of a payment provider and what it answers, in plain records, and the protocol that each gateway keeps.

A charge has an id of ours, which is its key at the provider over all tries: however often it is asked for, one sum is
taken (semantics 52). Amounts are whole micros; a sum that no provider can charge is refused (`minor_units.payable`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from talktime_server.payments.card import looks_like_card

_REFERENCE = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
# A charge id is made of a tenant id and a number, so it has the characters of ids.
_CHARGE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@=+~-]{0,127}")


class Outcome(StrEnum):
    """How a charge stands. Only NOT_CHARGED says that this charge id took no money and no try of it is on the way."""

    SUCCEEDED = "SUCCEEDED"
    DECLINED = "DECLINED"
    ACTION_REQUIRED = "ACTION_REQUIRED"
    PENDING = "PENDING"
    NOT_CHARGED = "NOT_CHARGED"
    UNKNOWN = "UNKNOWN"


class EventKind(StrEnum):
    """What a provider calls back about."""

    CHARGE = "CHARGE"
    REFUND = "REFUND"
    DISPUTE = "DISPUTE"


@dataclass(frozen=True, slots=True)
class PaymentMethod:
    """What pays: the provider's own references, never a card number. `gateway` is "stripe" or "billing".

    Raises ValueError with the name of the field that is wrong, and not its value.
    """

    gateway: str
    customer: str
    token: str

    def __post_init__(self) -> None:
        for name in ("gateway", "customer", "token"):
            if not reference_fits(getattr(self, name)):
                raise ValueError(f"{name}: 1 to 128 of A-Z a-z 0-9 _ . : - and no card number")


@dataclass(frozen=True, slots=True)
class Intent:
    """One charge to make: asked for as often as needed with the same `charge_id`, and nothing of it ever changes.

    `amount_micros` is from 1 to 10^12 and payable in `currency` (ISO 4217); `description` is for the payer's statement.
    """

    charge_id: str
    tenant_id: str
    amount_micros: int
    currency: str
    method: PaymentMethod
    description: str = ""

    def __post_init__(self) -> None:
        if not _CHARGE_ID.fullmatch(self.charge_id):
            raise ValueError("charge_id: 1 to 128 characters of an id")


@dataclass(frozen=True, slots=True)
class Result:
    """How a charge stands, and as what the provider knows it.

    `code` is a word of the provider's for a decline ("expired_card"), and one of ours in capitals for NOT_CHARGED and
    UNKNOWN ("PROVIDER_SILENT"). `action_url` is where the payer confirms, when there is such a page. For UNKNOWN and
    NOT_CHARGED amount and currency are the intent's, for all others the provider's, which were compared with it.
    """

    outcome: Outcome
    provider_id: str = ""
    code: str = ""
    action_url: str = ""
    amount_micros: int = 0
    currency: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """What a provider called back about a charge.

    For CHARGE `outcome` is how the charge stands and `amount_micros` its sum. For REFUND and DISPUTE
    `reference` is the id of the refund or dispute and `amount_micros` what it takes back; the charge stays SUCCEEDED.
    `event_id` is the provider's, the same each time it sends the event.
    """

    event_id: str
    kind: EventKind
    charge_id: str
    tenant_id: str
    outcome: Outcome
    provider_id: str
    amount_micros: int
    currency: str
    reference: str = ""
    code: str = ""
    action_url: str = ""


class Gateway(Protocol):
    """One payment provider. Every method but `read_event` asks over the network once, and raises PaymentFailure."""

    @property
    def name(self) -> str:
        """The word that a payment method names it by."""

    async def charge(self, intent: Intent) -> Result:
        """Asks for the charge once, with the charge id as its key; charge and tenant id of the answer are the intent's."""

    async def look_up(self, intent: Intent) -> Result | None:
        """How the charge stands, asked by its id; None when the provider knows nothing of it, or nothing yet."""

    async def check(self) -> None:
        """That the provider is reachable and knows us; charges nothing."""

    def read_event(self, headers: Mapping[str, str], body: bytes) -> Event | None:
        """What a webhook says; None when it is not about a charge of ours.

        `headers` has lower-case names. Raises BadSignature and UnreadableEvent.
        """

    async def confirm(self, event: Event) -> Event | None:
        """The event as the provider tells it when asked, for a webhook is a hint (C23); None when the charge is not ours.

        Raises WrongReply when the two differ in what they say of the money.
        """

    async def close(self) -> None:
        """Lets go of its connections."""


def reference_fits(text: str) -> bool:
    """Whether a text may be a provider's reference: 1 to 128 of [A-Za-z0-9_.:-], and nothing like a card number."""
    return _REFERENCE.fullmatch(text) is not None and not looks_like_card(text)
