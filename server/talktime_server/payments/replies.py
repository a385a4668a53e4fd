"""Reads what a provider says of a charge, field by field, and holds it against what was asked or called back."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from talktime_server.payments.errors import UnreadableReply, WrongReply
from talktime_server.payments.gateway import Event, EventKind, Intent, Result

MAX_TEXT = 255
MAX_URL = 2048
_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")
_URL = re.compile(r"https://[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Standing:
    """What a provider says of a charge: whose it is, and how it stands."""

    charge_id: str
    tenant_id: str
    result: Result

    def answering(self, intent: Intent) -> Result:
        """The result, if it is this intent's. Raises WrongReply."""
        if self.charge_id != intent.charge_id:
            raise WrongReply("the provider speaks of another charge", reason="WRONG_CHARGE")
        if self.tenant_id != intent.tenant_id:
            raise WrongReply("the provider speaks of another tenant", reason="WRONG_TENANT")
        return self.result

    def called_back(self, event_id: str) -> Event:
        """The event of a webhook that tells of this."""
        return Event(
            event_id=event_id,
            kind=EventKind.CHARGE,
            charge_id=self.charge_id,
            tenant_id=self.tenant_id,
            outcome=self.result.outcome,
            provider_id=self.result.provider_id,
            amount_micros=self.result.amount_micros,
            currency=self.result.currency,
            code=self.result.code,
            action_url=self.result.action_url,
        )

    def confirming(self, event: Event) -> Event:
        """The event with the charge as it stands now. Raises WrongReply when what was called back is not so."""
        sum_micros = self.result.amount_micros
        least = sum_micros if event.kind is EventKind.CHARGE else 1
        if event.currency != self.result.currency:
            raise WrongReply("the webhook names another currency", reason="WRONG_CURRENCY")
        if not least <= event.amount_micros <= sum_micros:
            raise WrongReply("the webhook names another amount", reason="WRONG_AMOUNT")
        return replace(
            event,
            charge_id=self.charge_id,
            tenant_id=self.tenant_id,
            outcome=self.result.outcome,
            provider_id=self.result.provider_id,
            code=self.result.code,
            action_url=self.result.action_url,
        )


def text(content: Mapping[str, Any], name: str) -> str:
    """A field of 1 to 255 printable ASCII characters."""
    value = content.get(name)
    if not (isinstance(value, str) and 0 < len(value) <= MAX_TEXT):
        raise UnreadableReply(f"the payment provider's {name} is missing or too long")
    if not (value.isascii() and value.isprintable()):
        raise UnreadableReply(f"the payment provider's {name} cannot be read")
    return value


def whole(content: Mapping[str, Any], name: str) -> int:
    """A field that is a whole number from 0 to 10^15."""
    value = content.get(name)
    # A bool is an int to Python and no number to anyone else.
    if type(value) is not int or not 0 <= value <= 10**15:
        raise UnreadableReply(f"the payment provider's {name} is no amount")
    return value


def part(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A field that is an object; an empty one where it is missing or null."""
    value = content.get(name)
    return value if isinstance(value, dict) else {}


def code(value: object) -> str:
    """A provider's word for why; a sentence, or anything else, is none and must not get into a record."""
    return value if isinstance(value, str) and _CODE.fullmatch(value) else "other"


def url(value: object) -> str:
    """An https address for the payer; empty for anything else."""
    fits = isinstance(value, str) and len(value) <= MAX_URL and _URL.fullmatch(value)
    return str(value) if fits else ""
