"""What the texts are filled in with: a notice's parameters as people of a language write money, numbers and times.

Every word that a text may name is made here, from what the notice says; instants are given in UTC and say so.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal

from babel import Locale
from babel.dates import format_date, format_skeleton
from babel.numbers import format_currency, format_decimal, get_currency_precision

from talktime_server.notices.told import Told, one_line

MICROS = 1_000_000
LOCALES = {"en": "en", "ko": "ko", "ja": "ja", "id": "id", "zh": "zh_Hans"}
_HOURS_END = {"id": "."}  # what stands between hours and minutes; else a colon
_DAYS_END = {"en": ", ", "id": ", "}  # and between day and hours; else a space
_AFTER_LETTER = re.compile(r"(?<=[^\W\d_])(?=\d)")


def values_of(told: Told, language: str) -> dict[str, str]:
    """The words for a notice's texts, those that its parameters give and those that every notice has."""
    locale = Locale.parse(LOCALES[language])
    given = told.parameters
    currency = str(given.get("currency", ""))
    values = {
        "tenant": one_line(str(given.get("tenant_name", ""))) or told.tenant_id,
        "time": moment(told.noticed_ms, locale),
        "notice": told.notice_id,
    }
    for name, value in given.items():
        if name.endswith("_micros"):
            values[name.removesuffix("_micros")] = money(int(value), currency, locale)
        elif name in _FORMS:
            values |= _FORMS[name](value, locale)
    return values


def money(micros: int, currency: str, locale: Locale) -> str:
    """An amount in its currency, to the currency's smallest coin."""
    places = get_currency_precision(currency) if currency else 2
    exact = Decimal(micros).scaleb(-6)
    # Adding nothing turns a minus zero into a plain one.
    coins = exact.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP) + 0
    if not currency:
        return str(format_decimal(coins, locale=locale))
    # A currency that goes by letters stands apart from its digits; the library leaves that out.
    return _AFTER_LETTER.sub("\u00a0", str(format_currency(coins, currency, locale=locale)))


def moment(ms: int, locale: Locale) -> str:
    """An instant, in UTC, to the minute."""
    at = datetime.fromtimestamp(ms // 1000, UTC)
    clock = f"{at.hour:02}{_HOURS_END.get(locale.language, ':')}{at.minute:02}"
    day = format_date(at.date(), "long", locale=locale)
    return f"{day}{_DAYS_END.get(locale.language, ' ')}{clock} UTC"


def _minutes(name: str) -> Callable[[object, Locale], dict[str, str]]:
    def form(seconds: object, locale: Locale) -> dict[str, str]:
        return {name: format_decimal(int(str(seconds)) // 60, locale=locale)}

    return form


def _word(name: str) -> Callable[[object, Locale], dict[str, str]]:
    return lambda value, _: {name: one_line(str(value))}


def _month(value: object, locale: Locale) -> dict[str, str]:
    year, month = divmod(int(str(value)), 100)
    return {"month": str(format_skeleton("yMMMM", date(year, month, 1), locale=locale))}


def _expires(value: object, locale: Locale) -> dict[str, str]:
    ms = int(str(value))
    day = datetime.fromtimestamp(ms // 1000, UTC).date()
    return {
        "expires": moment(ms, locale),
        "expires_date": str(format_date(day, "long", locale=locale)),
    }


_FORMS: Mapping[str, Callable[[object, Locale], dict[str, str]]] = {
    "used_seconds": _minutes("used"),
    "size_seconds": _minutes("size"),
    "pool_id": _word("pool"),
    "payer_id": _word("payer"),
    "charge_id": _word("charge"),
    "funding_id": _word("funding"),
    "reason": _word("reason"),
    "code": _word("code"),
    "url": _word("url"),
    "month": _month,
    "expires_ms": _expires,
}
