"""Whom a tenant's notices go to, and when they are due, as values; settings.py reads and writes them."""

from dataclasses import dataclass

from talktime_server.words import NoticeKind

LANGUAGES = ("en", "ko", "ja", "id", "zh")
DEFAULT_LANGUAGE = "en"
DEFAULT_EXPIRY_NOTICE_DAYS = 30


@dataclass(frozen=True, slots=True)
class Admin:
    """Somebody whom notices go to. The roles decide which ones; `language` is of LANGUAGES."""

    email: str
    display_name: str = ""
    roles: tuple[str, ...] = ()
    language: str = DEFAULT_LANGUAGE


@dataclass(frozen=True, slots=True)
class NoticeSettings:
    """Who gets mails, the levels of what is available that are told, and how many days before credits
    are lost that is told.
    """

    admins: tuple[Admin, ...] = ()
    low_balance_micros: tuple[int, ...] = ()
    expiry_notice_days: int = DEFAULT_EXPIRY_NOTICE_DAYS


@dataclass(frozen=True, slots=True)
class Webhook:
    """An address that notices are posted to; without `kinds` it is told of everything."""

    webhook_id: str
    url: str
    kinds: tuple[NoticeKind, ...] = ()
    disabled: bool = False

    def hears(self, kind: NoticeKind) -> bool:
        """Whether it is told of a kind of notice; a test reaches every one that is not turned off."""
        everything = not self.kinds or kind is NoticeKind.TEST
        return not self.disabled and (everything or kind in self.kinds)


@dataclass(frozen=True, slots=True)
class Targets:
    """Everything that a tenant's notices go by; `currency` is empty while nothing was ever set."""

    currency: str = ""
    settings: NoticeSettings = NoticeSettings()
    webhooks: tuple[Webhook, ...] = ()


NOBODY = Targets()
