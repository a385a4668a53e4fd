"""Every kind of notice in every language: filled in, escaped, on one line where it must be, and in the reader's own forms."""

import re
from email import message_from_bytes
from email.headerregistry import Address
from email.policy import default
from html.parser import HTMLParser
from typing import Any

import pytest
from babel import Locale
from jinja2 import Environment, meta

from talktime_server.notices.mail import Envelope, Mail, message_of, sender_of
from talktime_server.notices.notice import Parameters
from talktime_server.notices.rendering import mail_of, section, summary_of, words
from talktime_server.notices.targets import LANGUAGES
from talktime_server.notices.told import Told, one_line
from talktime_server.notices.values import money, values_of
from talktime_server.words import NoticeKind

AT_MS = 1_795_283_639_000
COMMON: dict[str, Any] = {"currency": "USD", "tenant_name": "Contoso"}
CHARGE: dict[str, Any] = {"amount_micros": 1_234_500_000, "charge_id": "contoso-a1-1"}
POOL: dict[str, Any] = {
    "pool_id": "US/MCOPSTN1",
    "month": 202611,
    "used_seconds": 2_400 * 60,
    "size_seconds": 3_000 * 60,
}
TAKEN: dict[str, Any] = {
    "amount_micros": 1_234_500_000,
    "balance_micros": -5_000_000,
    "reason": "twice",
}
# A kind, its variant, and what it says.
CASES: list[tuple[NoticeKind, str, Parameters]] = [
    (NoticeKind.RECHARGE_SUCCEEDED, "", CHARGE),
    (NoticeKind.RECHARGE_FAILED, "", CHARGE | {"state": "DECLINED", "code": "expired_card"}),
    (NoticeKind.RECHARGE_FAILED, "STOPPED", CHARGE | {"state": "STOPPED", "code": "lost"}),
    (NoticeKind.RECHARGE_FAILED, "NEEDS_REVIEW", CHARGE | {"state": "NEEDS_REVIEW", "code": ""}),
    (NoticeKind.RECHARGE_ACTION_REQUIRED, "", CHARGE | {"url": "https://pay.example.com/?a=1&b=2"}),
    (NoticeKind.RECHARGE_ACTION_REQUIRED, "NO_LINK", CHARGE | {"url": ""}),
    (NoticeKind.RECHARGE_CAP_REACHED, "", {"amount_micros": 0, "charge_id": ""}),
    (NoticeKind.BALANCE_ZERO, "", {"balance_micros": -5_000_000}),
    (NoticeKind.BALANCE_LOW, "", {"available_micros": 48_123_456, "level_micros": 1_234_500_000}),
    (NoticeKind.POOL_80, "", POOL),
    (NoticeKind.POOL_100, "", POOL),
    (NoticeKind.CREDITS_EXPIRING, "", CHARGE | {"expires_ms": AT_MS, "lots": 1}),
    (NoticeKind.CREDITS_EXPIRING, "SEVERAL", CHARGE | {"expires_ms": AT_MS, "lots": 2}),
    (NoticeKind.SPEND_LIMIT, "", {"payer_id": ""}),
    (NoticeKind.SPEND_LIMIT, "PAYER", {"payer_id": "alice@example.com"}),
    (NoticeKind.FUNDS_TAKEN_BACK, "", TAKEN | {"funding_id": "f1", "chargeback": False}),
    (NoticeKind.FUNDS_TAKEN_BACK, "CHARGEBACK", TAKEN | {"funding_id": "f1", "chargeback": True}),
    (NoticeKind.TEST, "", {}),
]
NAMES = [f"{kind}{variant and '.'}{variant}" for kind, variant, _ in CASES]
AMOUNTS = {
    "en": "$1,234.50",
    "ko": "US$1,234.50",
    "ja": "$1,234.50",
    "id": "US$1.234,50",
    "zh": "US$1,234.50",
}
TIMES = {
    "en": "November 21, 2026, 17:53 UTC",
    "ko": "2026년 11월 21일 17:53 UTC",
    "ja": "2026年11月21日 17:53 UTC",
    "id": "21 November 2026, 17.53 UTC",
    "zh": "2026年11月21日 17:53 UTC",
}
# Letters that only this language's texts have, beside what was filled in.
LETTERS = {
    "en": r"\b(you|your|the)\b",
    "ko": "[가-힣]",
    "ja": "[ぁ-んァ-ン]",
    "id": r"\b(Anda|yang|dan|untuk)\b",
    "zh": "[您额余通]",
}


def told(parameters: Parameters) -> Told:
    return Told("ab" * 16, "contoso", AT_MS, COMMON | dict(parameters))


class Text(HTMLParser):
    """The words of an HTML page, and its tags."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[str] = []
        self.links: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name == "href"]

    def take(self, data: str) -> None:
        self.words.append(data)

    handle_data = take


def read(html: str) -> Text:
    text = Text()
    text.feed(html)
    text.close()
    return text


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("kind", "variant", "parameters"), CASES, ids=NAMES)
def test_every_kind_in_every_language(
    kind: NoticeKind, variant: str, parameters: Parameters, language: str
) -> None:
    mail = mail_of(kind, told(parameters), "Kim", language)
    page = read(mail.html)
    for text in (mail.subject, mail.plain, " ".join(page.words)):
        assert not re.search(r"{{|}}|{%|None|Undefined|_micros|&amp;amp;|&lt;", text)
    for text in (mail.plain, " ".join(page.words)):
        assert re.search(LETTERS[language], text)
        assert "Contoso" in text
        assert TIMES[language] in text
    assert "\n" not in mail.subject
    if parameters.get("amount_micros"):
        assert AMOUNTS[language] in mail.plain
        assert AMOUNTS[language] in mail.html
    own = section(language, kind, variant)
    assert own["headline"] in mail.plain
    assert own["headline"] in mail.html


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_languages_say_the_same_things(language: str) -> None:
    """The same texts, each with the same words to fill in, but none left in English."""
    english, other = words("en"), words(language)
    assert other.keys() == english.keys()
    assert other["labels"].keys() == english["labels"].keys()
    assert other["why"].keys() == english["why"].keys()
    for kind, variant, _ in CASES:
        here, there = section("en", kind, variant), section(language, kind, variant)
        assert there.keys() == here.keys() - {"summary"}
        for name in there:
            assert filled_in(there[name]) == filled_in(here[name]), (kind, name)
            plain = re.sub(r"{{.*?}}|[\W\d]", "", here[name])
            assert not plain or there[name] != here[name] or name == "figure"


def filled_in(text: str) -> set[str]:
    return meta.find_undeclared_variables(Environment(autoescape=True).parse(text)) - {"why"}


@pytest.mark.parametrize(("kind", "variant", "parameters"), CASES, ids=NAMES)
def test_the_sentence_of_lists(kind: NoticeKind, variant: str, parameters: Parameters) -> None:
    summary = summary_of(kind, told(parameters))
    assert summary.endswith(".")
    assert summary == summary.strip()
    assert "{{" not in summary


def test_a_list_comes_though_a_notice_says_too_little() -> None:
    assert summary_of(NoticeKind.BALANCE_LOW, told({})) == "What is available fell below : ."


HOSTILE = '<script>alert("x")</script>\r\nBcc: eve@example.com\u202e\x00 & more'


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_came_from_outside_is_text_and_nothing_else(language: str) -> None:
    parameters = TAKEN | {"reason": HOSTILE, "funding_id": HOSTILE, "chargeback": False}
    notice = Told(
        "ab" * 16, "contoso", AT_MS, {"currency": "USD", "tenant_name": HOSTILE} | parameters
    )
    mail = mail_of(NoticeKind.FUNDS_TAKEN_BACK, notice, HOSTILE, language)
    page = read(mail.html)
    assert not {"script", "img"} & set(page.tags)
    assert 'alert("x")' in " ".join(page.words)
    assert "\nBcc:" not in mail.plain.replace("\r", "\n")
    assert not re.search("[\u202e\x00\r]", mail.plain + mail.html + mail.subject)


def test_a_link_is_one_to_where_it_says() -> None:
    mail = mail_of(NoticeKind.RECHARGE_ACTION_REQUIRED, told(CASES[4][2]), "Kim", "en")
    assert read(mail.html).links == ["https://pay.example.com/?a=1&b=2"]
    assert "https://pay.example.com/?a=1&b=2" in mail.plain


def test_html_asks_nobody_for_anything() -> None:
    """No image, no style sheet and no script from anywhere: mails tell nobody that they are read."""
    for kind, _, parameters in CASES:
        page = mail_of(kind, told(parameters), "Kim", "en").html
        assert not re.search(r"<(img|link|script|iframe|form)\b|url\(|@import", page)


def test_an_unknown_language_is_english() -> None:
    assert mail_of(NoticeKind.TEST, told({}), "Kim", "tlh").subject == "Test notice"


CURRENCIES = [
    ("USD", 1_234_567_890, "en", "$1,234.57"),
    ("JPY", 1_234_000_000, "ja", "￥1,234"),
    ("KRW", 1_234_000_000, "ko", "₩1,234"),
    ("IDR", 1_234_000_000, "id", "Rp\xa01.234,00"),
    ("IDR", 1_234_000_000, "en", "IDR\xa01,234.00"),
    ("CNY", 1_234_000_000, "zh", "¥1,234.00"),
    ("EUR", -1, "en", "€0.00"),
    ("KWD", 1_234_567, "en", "KWD\xa01.235"),
    ("", 1_500_000, "en", "1.5"),
]


@pytest.mark.parametrize(("currency", "micros", "language", "text"), CURRENCIES)
def test_money_as_people_write_it(currency: str, micros: int, language: str, text: str) -> None:
    assert money(micros, currency, Locale.parse(language)) == text


def test_without_a_name_a_tenant_goes_by_its_id() -> None:
    notice = Told("ab" * 16, "contoso", AT_MS, {"currency": "", "tenant_name": ""})
    assert values_of(notice, "en")["tenant"] == "contoso"


def test_one_line_is_one_line() -> None:
    assert one_line(" a\r\n b\u2028c\x1b[31m\ud800 ") == "a b c [31m"
    assert len(one_line("x" * 5000)) == 300


def test_a_mail_has_both_forms_and_headers_of_ours() -> None:
    mail = mail_of(NoticeKind.TEST, told({}), "金", "zh")
    sender = sender_of("Phone team <phones@example.com>")
    envelope = Envelope("d1", "kim@example.com", "김\r\nBcc: eve@example.com", mail)
    message = message_from_bytes(bytes(message_of(envelope, sender)), policy=default)
    assert message["To"].addresses[0].display_name == "김 Bcc: eve@example.com"
    assert [address.addr_spec for address in message["To"].addresses] == ["kim@example.com"]
    assert message["Bcc"] is None
    assert message["Message-ID"] == "<d1@example.com>"
    assert message["Subject"] == "测试通知"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Content-Language"] == "zh-Hans"
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    plain = message.get_body(("plain",))
    assert plain is not None
    assert plain.get_content().replace("\r\n", "\n").strip() == mail.plain.strip()


def test_a_subject_is_never_a_header_of_its_own() -> None:
    mail = Mail("Hello\r\nBcc: eve@example.com", "x", "<p>x</p>", "en")
    message = message_of(
        Envelope("d1", "kim@example.com", "", mail), Address("", "a", "example.com")
    )
    assert message["Subject"] == "Hello Bcc: eve@example.com"
    assert message["Bcc"] is None


@pytest.mark.parametrize(
    "text", ["", "phones", "a@b\r\nX: y", "Phones <>", "a@@b", "ä@example.com"]
)
def test_a_sender_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="sender"):
        sender_of(text)
