"""What a tenant's admins are told, by mail and by webhook, as plain Python values."""

from dataclasses import dataclass
from datetime import datetime

from talktime.words import DeliveryState, NoticeKind


@dataclass(frozen=True, slots=True)
class Admin:
    """Somebody whom notices go to; the roles, as "Billing Administrator", decide which ones (domain.md 6).

    `language` is that of the mails: en, ko, ja, id or zh; empty is en.
    """

    email: str
    roles: tuple[str, ...]
    display_name: str = ""
    language: str = ""


@dataclass(frozen=True, slots=True)
class NoticeSettings:
    """Whom a tenant's notices go to, at most 50, and when they are due.

    `low_balance_micros` are the levels of what is available that a low balance is told at, at most 5;
    `expiry_notice_days` is how long before credits are lost that is told, 1 to 365, 0 for 30.
    """

    admins: tuple[Admin, ...] = ()
    low_balance_micros: tuple[int, ...] = ()
    expiry_notice_days: int = 0


@dataclass(frozen=True, slots=True)
class Webhook:
    """An address that notices are posted to, signed after the Standard Webhooks specification.

    Without `kinds` it is told of everything. `disabled` is read only: it answered "gone", or was never reached for
    days, and gets nothing more until it is put again.
    """

    webhook_id: str
    url: str
    kinds: tuple[NoticeKind | str, ...] = ()
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class NoticeTargets:
    """The settings, and the webhooks without their secrets."""

    settings: NoticeSettings | None
    webhooks: tuple[Webhook, ...]


@dataclass(frozen=True, slots=True)
class StoredWebhook:
    """A webhook as stored; `secret` signs its messages, and is shown only when the webhook was just made."""

    webhook: Webhook | None
    secret: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery of a notice: to a mail address, or to the webhook with the id `recipient`; `failure` says why the
    last try failed, as "HTTP 500"."""

    recipient: str
    mail: bool
    state: DeliveryState
    attempts: int
    failure: str
    next_time: datetime | None


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that admins are told: in a sentence, in English, with what became of it for each recipient."""

    notice_id: str
    kind: NoticeKind
    summary: str
    notice_time: datetime | None
    deliveries: tuple[Delivery, ...]
