"""What notice settings and webhooks may look like: every rule of account_service.proto, checked before anything is written."""

import asyncio
import re
from collections.abc import Sequence

from talktime.v1 import account_service_pb2 as pb
from talktime_server.notices.addresses import Refused, Resolve, addresses_of, place_of
from talktime_server.notices.roles import roles
from talktime_server.notices.targets import (
    DEFAULT_EXPIRY_NOTICE_DAYS,
    DEFAULT_LANGUAGE,
    LANGUAGES,
    Admin,
    NoticeSettings,
    Webhook,
)
from talktime_server.payments.card import looks_like_card
from talktime_server.rpc.decoding import Checks, known_numbers
from talktime_server.rpc.notice_messages import KIND_WORDS

MAX_ADMINS = 50
MAX_ROLES = 16
MAX_NAME = 128
MAX_EMAIL = 254
MAX_LEVELS = 5
MAX_LEVEL = 10**15
MAX_DAYS = 365
MAX_KINDS = 50
# A name is looked up while the caller waits; one that takes longer is looked at when it is posted to.
LOOK_UP_S = 1.0
_KINDS = known_numbers(pb.NoticeKind)
_LOCAL_PART = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_EMAIL = re.compile(rf"(?=[^@]{{1,64}}@){_LOCAL_PART}@{_LABEL}(\.{_LABEL})+")


def check_settings(checks: Checks, asked: pb.NoticeSettings) -> NoticeSettings:
    """The settings that a message describes, defaults filled in; good once the checks are done."""
    checks.items("settings.admins", asked.admins, MAX_ADMINS)
    admins = [
        _check_admin(checks, f"settings.admins[{number}]", admin)
        for number, admin in enumerate(asked.admins[:MAX_ADMINS])
    ]
    _check_once(checks, admins)
    _check_levels(checks, asked.low_balance_micros)
    if days := asked.expiry_notice_days:
        checks.count("settings.expiry_notice_days", days, 1, MAX_DAYS)
    return NoticeSettings(
        tuple(admins),
        tuple(asked.low_balance_micros),
        asked.expiry_notice_days or DEFAULT_EXPIRY_NOTICE_DAYS,
    )


async def check_webhook(
    checks: Checks, asked: pb.Webhook, resolve: Resolve, *, private: bool
) -> Webhook:
    """The webhook that a message describes; good once the checks are done."""
    checks.id("webhook.webhook_id", asked.webhook_id)
    checks.items("webhook.kinds", asked.kinds, MAX_KINDS)
    for number, kind in enumerate(asked.kinds[:MAX_KINDS]):
        checks.enum(f"webhook.kinds[{number}]", kind, _KINDS)
    if asked.url:
        await _check_url(checks, asked.url, resolve, private=private)
    else:
        checks.blame("webhook.url", "MISSING_FIELD", "is required")
    kinds = dict.fromkeys(KIND_WORDS[kind] for kind in asked.kinds if kind in KIND_WORDS)
    return Webhook(asked.webhook_id, asked.url, tuple(kinds))


def _check_admin(checks: Checks, field: str, asked: pb.Admin) -> Admin:
    _check_email(checks, f"{field}.email", asked.email)
    checks.text(f"{field}.display_name", asked.display_name, MAX_NAME)
    for name in ("email", "display_name"):
        if looks_like_card(getattr(asked, name)):
            text = "has what looks like a card number"
            checks.blame(f"{field}.{name}", "CARD_DATA_REFUSED", text)
    checks.items(f"{field}.roles", asked.roles, MAX_ROLES, least=1)
    for number, role in enumerate(asked.roles[:MAX_ROLES]):
        if role not in roles():
            place = f"{field}.roles[{number}]"
            checks.blame(place, "UNKNOWN_ROLE", f"is none of {', '.join(sorted(roles()))}")
    if asked.language not in ("", *LANGUAGES):
        text = f"is not one of {', '.join(LANGUAGES)}"
        checks.blame(f"{field}.language", "UNKNOWN_LANGUAGE", text)
    held = tuple(dict.fromkeys(asked.roles))
    return Admin(asked.email, asked.display_name, held, asked.language or DEFAULT_LANGUAGE)


def _check_email(checks: Checks, field: str, email: str) -> None:
    if not email:
        checks.blame(field, "MISSING_FIELD", "is required")
    elif len(email) > MAX_EMAIL:
        checks.blame(field, "TOO_LONG", f"has more than {MAX_EMAIL} characters")
    elif not _EMAIL.fullmatch(email):
        checks.blame(field, "BAD_EMAIL", "is not an e-mail address")


def _check_once(checks: Checks, admins: Sequence[Admin]) -> None:
    seen: set[str] = set()
    for number, admin in enumerate(admins):
        if admin.email and admin.email.lower() in seen:
            checks.blame(f"settings.admins[{number}].email", "DUPLICATE", "is there twice")
        seen.add(admin.email.lower())


def _check_levels(checks: Checks, levels: Sequence[int]) -> None:
    field = "settings.low_balance_micros"
    checks.items(field, levels, MAX_LEVELS)
    for number, level in enumerate(levels[:MAX_LEVELS]):
        checks.micros(f"{field}[{number}]", level, 1, MAX_LEVEL)
        if level in levels[:number]:
            checks.blame(f"{field}[{number}]", "DUPLICATE", "is there twice")


async def _check_url(checks: Checks, url: str, resolve: Resolve, *, private: bool) -> None:
    """A name that has no address now may have one later, and is then looked at before it is posted to."""
    try:
        place = place_of(url, private=private)
        async with asyncio.timeout(LOOK_UP_S):
            await addresses_of(place, resolve, private=private)
    except Refused as refused:
        checks.blame("webhook.url", refused.rule, refused.text)
    except (OSError, TimeoutError):
        return
