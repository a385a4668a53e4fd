"""From a notice to its texts: a subject, a plain and an HTML body in the recipient's language, and a sentence for lists.

`templates/` has two layouts and, for each language, the words. A section of the words is a kind of
notice; a section below it ("RECHARGE_FAILED.STOPPED") says what is different in a variant of it.
Everything that came from outside is escaped in HTML and on one line everywhere.
"""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from talktime_server.notices.mail import Mail
from talktime_server.notices.notice import Parameters
from talktime_server.notices.targets import DEFAULT_LANGUAGE, LANGUAGES
from talktime_server.notices.told import Told, one_line
from talktime_server.notices.values import values_of
from talktime_server.words import NoticeKind, RechargeState

_GOOD, _CAREFUL, _BAD, _PLAIN = "#15803d", "#b45309", "#b91c1c", "#1d4ed8"
_COLOURS = {
    NoticeKind.RECHARGE_SUCCEEDED: _GOOD,
    NoticeKind.RECHARGE_FAILED: _BAD,
    NoticeKind.RECHARGE_ACTION_REQUIRED: _CAREFUL,
    NoticeKind.RECHARGE_CAP_REACHED: _CAREFUL,
    NoticeKind.BALANCE_ZERO: _BAD,
    NoticeKind.BALANCE_LOW: _CAREFUL,
    NoticeKind.POOL_80: _CAREFUL,
    NoticeKind.POOL_100: _BAD,
    NoticeKind.CREDITS_EXPIRING: _CAREFUL,
    NoticeKind.SPEND_LIMIT: _BAD,
    NoticeKind.FUNDS_TAKEN_BACK: _CAREFUL,
    NoticeKind.TEST: _PLAIN,
}
# What the table below the text shows, of what a notice has.
_FACTS = {
    NoticeKind.RECHARGE_SUCCEEDED: ("amount", "charge"),
    NoticeKind.RECHARGE_FAILED: ("amount", "code", "charge"),
    NoticeKind.RECHARGE_ACTION_REQUIRED: ("amount", "charge"),
    NoticeKind.BALANCE_LOW: ("level",),
    NoticeKind.POOL_80: ("pool", "month"),
    NoticeKind.POOL_100: ("pool", "month"),
    NoticeKind.CREDITS_EXPIRING: ("amount", "expires"),
    NoticeKind.SPEND_LIMIT: ("payer",),
    NoticeKind.FUNDS_TAKEN_BACK: ("amount", "balance", "reason", "funding"),
}
# The letters of each language, before those of any other: Chinese characters are drawn differently in Japan.
_FONTS = {
    "en": "'Segoe UI'",
    "ko": "'Apple SD Gothic Neo','Malgun Gothic','Noto Sans KR','Noto Sans CJK KR'",
    "ja": "'Hiragino Sans','Yu Gothic','Meiryo','Noto Sans JP','Noto Sans CJK JP'",
    "id": "'Segoe UI'",
    "zh": "'PingFang SC','Microsoft YaHei','Noto Sans SC','Noto Sans CJK SC'",
}
_TAGS = {"zh": "zh-Hans"}
_PLAIN_TEXTS = Environment(undefined=StrictUndefined, trim_blocks=True, autoescape=False)
# A sentence of a list leaves out what a notice does not say, as those of another version may not: the list must come.
_SENTENCES = Environment(trim_blocks=True, autoescape=False)
_HTML_TEXTS = Environment(undefined=StrictUndefined, trim_blocks=True, autoescape=True)


def mail_of(kind: NoticeKind, told: Told, name: str, language: str) -> Mail:
    """The mail that tells somebody of a notice; a language that there are no texts in is English."""
    language = language if language in LANGUAGES else DEFAULT_LANGUAGE
    plain = _texts(_PLAIN_TEXTS, kind, told, name, language)
    html = _texts(_HTML_TEXTS, kind, told, name, language)
    subject = one_line(plain["subject"])
    look = {
        "subject": subject,
        "colour": _COLOURS[kind],
        "fonts": f"{_FONTS[language]},Arial,sans-serif",
    }
    return Mail(
        subject,
        _layout("mail.txt", _PLAIN_TEXTS).render(plain),
        _layout("mail.html", _HTML_TEXTS).render(html | look),
        _TAGS.get(language, language),
    )


def summary_of(kind: NoticeKind, told: Told) -> str:
    """A notice in a sentence, in English."""
    words = section(DEFAULT_LANGUAGE, kind, variant_of(kind, told.parameters))
    return _fill(_SENTENCES, words["summary"], values_of(told, DEFAULT_LANGUAGE))


def variant_of(kind: NoticeKind, parameters: Parameters) -> str:
    """Which variant of a kind's words a notice has; "" for the plain ones."""
    if kind is NoticeKind.RECHARGE_FAILED:
        state = str(parameters.get("state", ""))
        return "" if state == RechargeState.DECLINED else state
    chosen = {
        NoticeKind.RECHARGE_ACTION_REQUIRED: ("NO_LINK", not parameters.get("url")),
        NoticeKind.CREDITS_EXPIRING: ("SEVERAL", int(parameters.get("lots", 1)) > 1),
        NoticeKind.SPEND_LIMIT: ("PAYER", bool(parameters.get("payer_id"))),
        NoticeKind.FUNDS_TAKEN_BACK: ("CHARGEBACK", bool(parameters.get("chargeback"))),
    }
    name, applies = chosen.get(kind, ("", False))
    return name if applies else ""


@cache
def words(language: str) -> Mapping[str, Any]:
    """The words of a language, as they are written."""
    return tomllib.loads(_file(f"{language}.toml"))


@cache
def section(language: str, kind: NoticeKind, variant: str) -> Mapping[str, str]:
    """The words of a kind in a language, with what its variant changes."""
    plain = words(language)[kind.value]
    own = {name: text for name, text in plain.items() if isinstance(text, str)}
    return own | dict(plain.get(variant, {}))


def _texts(
    env: Environment, kind: NoticeKind, told: Told, name: str, language: str
) -> dict[str, Any]:
    """Everything that a layout has a place for."""
    values = values_of(told, language)
    common = words(language)
    why = common["why"]
    values["why"] = why.get(values.get("code", ""), why["other"])
    name = one_line(name)
    greeting = common["greeting"] if name else common["greeting_nobody"]
    filled = {
        key: _fill(env, text, values)
        for key, text in section(language, kind, variant_of(kind, told.parameters)).items()
        if key != "summary"
    }
    return filled | {
        "language": _TAGS.get(language, language),
        "greeting": _fill(env, greeting, {"name": name}),
        "footer": _fill(env, common["footer"], values),
        "next_title": common["next_title"],
        "link": values.get("url", ""),
        "facts": _facts(kind, values, common["labels"]),
    }


def _facts(
    kind: NoticeKind, values: Mapping[str, str], labels: Mapping[str, str]
) -> list[tuple[str, str]]:
    names = (*_FACTS.get(kind, ()), "tenant", "time", "notice")
    return [(labels[name], values[name]) for name in names if values.get(name)]


def _fill(env: Environment, text: str, values: Mapping[str, str]) -> str:
    filled: str = _compiled(env, text).render(values)
    # What was escaped once must not be escaped again by the layout that it is put into.
    return Markup(filled) if env.autoescape else filled


@cache
def _compiled(env: Environment, text: str) -> Any:
    return env.from_string(text)


@cache
def _layout(name: str, env: Environment) -> Any:
    return env.from_string(_file(name))


def _file(name: str) -> str:
    return resources.files(__package__).joinpath("templates", name).read_text(encoding="utf-8")
