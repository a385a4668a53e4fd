"""The listed settings are the program's: each one is there, with its default."""

import re

from house import HOUSE
from talktime_server.config import Settings, variable

ROW = re.compile(r"^\| ((?:`TALKTIME_\w+`(?:, )?)+) \| ([^|]*) \|", re.MULTILINE)
# Says what a process serves: for measurements, not for operators.
UNLISTED = {"app"}
# Defaults that depend on the machine, or that a word says better than a value.
IN_WORDS = {
    "store_url",
    "archive_url",
    "smtp_url",
    "smtp_ca",
    "mail_from",
    "stripe_key_file",
    "stripe_webhook_secret_file",
    "stripe_url",
    "billing_url",
    "billing_token_file",
    "billing_webhook_secret_file",
    "back_office",
    "private_webhooks",
    "state_dir",
    "tokens_file",
    "tls_cert",
    "tls_key",
    "tls_client_ca",
    "reflection",
}


def rows() -> dict[str, str]:
    """The default of each name. A row of several names has one for all, or one for each in their order."""
    listed: dict[str, str] = {}
    for names, default in ROW.findall((HOUSE / "docs" / "settings.md").read_text()):
        several, defaults = re.findall(r"TALKTIME_\w+", names), default.split(", ")
        each = defaults if len(defaults) == len(several) else [default] * len(several)
        listed |= dict(zip(several, each, strict=True))
    return listed


def test_every_setting_is_listed_and_nothing_else() -> None:
    settings = set(Settings.__dataclass_fields__) - UNLISTED
    assert set(rows()) == {variable(name) for name in settings}


def test_the_defaults_are_the_programs() -> None:
    settings, listed = Settings.read({}), rows()
    plain = set(Settings.__dataclass_fields__) - UNLISTED - IN_WORDS
    assert {n: listed[variable(n)] for n in plain} == {n: str(getattr(settings, n)) for n in plain}
