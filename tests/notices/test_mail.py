"""Mails to a real mail server: encrypted, checked, handed in once, and what went wrong told in our words."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from notices.certificates import Certificate
from notices.receivers import PASSWORD, USER, Post, taking_mails
from talktime_server.notices.mail import Envelope, Mail, Mailer, MailServer, mail_server
from talktime_server.notices.outcome import TAKEN, Outcome

MAIL = Mail("제목", "본문 first line\n.\n..dots stay\n", "<p>본문</p>", "ko")
ENVELOPE = Envelope("d1", "kim@example.com", "김하나", MAIL)
SENDER = "Phone team <phones@example.com>"


@pytest_asyncio.fixture(params=["starttls", "tls"])
async def post(
    request: pytest.FixtureRequest, certificate: Certificate
) -> AsyncIterator[tuple[Post, MailServer]]:
    """A mail server, and how it is reached, encrypted in both ways in turn."""
    tls = request.param == "tls"
    async with taking_mails(certificate, tls=tls) as server:
        yield server, MailServer("localhost", server.port, tls, not tls, USER, PASSWORD)


async def sent(server: MailServer, authority: str | None, envelope: Envelope = ENVELOPE) -> Outcome:
    mailer = Mailer(server, SENDER, authority=authority, timeout_s=5)
    try:
        return await mailer.send(envelope)
    finally:
        mailer.close()


async def test_a_mail_arrives_as_it_was_written(
    post: tuple[Post, MailServer], certificate: Certificate
) -> None:
    server, way = post
    assert await sent(way, str(certificate.path)) == TAKEN
    (mail,) = server.mails
    assert (mail["Subject"], mail["Message-ID"]) == ("제목", "<d1@example.com>")
    assert server.recipients == ["kim@example.com"]
    plain = mail.get_body(("plain",))
    assert plain is not None
    assert plain.get_content().replace("\r\n", "\n").strip() == MAIL.plain.strip()


async def test_a_repeat_can_be_told_from_another_mail(
    post: tuple[Post, MailServer], certificate: Certificate
) -> None:
    server, way = post
    for delivery_id in ("d1", "d1", "d2"):
        envelope = Envelope(delivery_id, "kim@example.com", "", MAIL)
        assert (await sent(way, str(certificate.path), envelope)).taken
    ids = [mail["Message-ID"] for mail in server.mails]
    assert ids == ["<d1@example.com>", "<d1@example.com>", "<d2@example.com>"]


async def test_a_certificate_that_nobody_vouches_for_gets_nothing(
    post: tuple[Post, MailServer],
) -> None:
    server, way = post
    outcome = await sent(way, None)
    assert outcome == Outcome("the mail server's certificate or encryption is not good")
    assert server.mails == []


async def test_another_name_than_the_certificates_gets_nothing(
    post: tuple[Post, MailServer], certificate: Certificate
) -> None:
    server, way = post
    other = MailServer("127.0.0.2", way.port, way.tls, way.starttls, USER, PASSWORD)
    outcome = await sent(other, str(certificate.path))
    assert not outcome.taken
    assert not outcome.final
    assert server.mails == []


REFUSALS = [
    ("550 no kim@example.com here", Outcome("SMTP 550", final=True)),
    ("450 kim@example.com is busy", Outcome("SMTP 450")),
]


@pytest.mark.parametrize(("answer", "outcome"), REFUSALS)
async def test_a_refusal_is_told_by_its_number(
    post: tuple[Post, MailServer], certificate: Certificate, answer: str, outcome: Outcome
) -> None:
    server, way = post
    server.refusals["kim@example.com"] = answer
    assert await sent(way, str(certificate.path)) == outcome


async def test_a_wrong_password_is_tried_again_later(
    post: tuple[Post, MailServer], certificate: Certificate
) -> None:
    _, way = post
    wrong = MailServer(way.host, way.port, way.tls, way.starttls, USER, "another one")
    outcome = await sent(wrong, str(certificate.path))
    assert outcome == Outcome("the mail server does not accept our password")


async def test_a_server_without_encryption_gets_neither_password_nor_mail() -> None:
    heard: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hello\r\n")
        while line := await reader.readline():
            heard.append(line)
            writer.write(b"250-hello\r\n250 AUTH PLAIN\r\n")
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    way = MailServer("localhost", port, tls=False, starttls=True, user=USER, password=PASSWORD)
    outcome = await sent(way, None)
    assert outcome == Outcome("the mail server offers no encryption or no login")
    assert [line for line in heard if not line.startswith((b"ehlo", b"QUIT"))] == []
    server.close()
    await server.wait_closed()


async def test_nobody_there_and_silence_are_tried_again() -> None:
    gone = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        gone.set()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    mailer = Mailer(MailServer("localhost", port, tls=False, starttls=True), SENDER, timeout_s=0.2)
    outcome = await mailer.send(ENVELOPE)
    assert outcome == Outcome("the mail server did not answer in time")
    await asyncio.wait_for(gone.wait(), 5)
    server.close()
    await server.wait_closed()
    outcome = await mailer.send(ENVELOPE)
    assert outcome == Outcome("the mail server refused the connection")
    mailer.close()


async def test_an_address_that_no_header_can_hold_is_given_up() -> None:
    way = MailServer("localhost", 1, tls=False, starttls=True)
    outcome = await sent(way, None, Envelope("d1", "kim@exa mple.com\r\nBcc: eve", "", MAIL))
    assert outcome == Outcome("the mail cannot be written to this address", final=True)


URLS = [
    ("smtp://mail.example.com?starttls", MailServer("mail.example.com", 587, False, True)),
    ("smtps://mail.example.com", MailServer("mail.example.com", 465, True, False)),
    (
        "smtps://me%40example.com:a%3Ab@mail.example.com:2465/",
        MailServer("mail.example.com", 2465, True, False, "me@example.com", "a:b"),
    ),
    ("smtp://localhost:25", MailServer("localhost", 25, False, False)),
    ("smtp://127.0.0.1:25", MailServer("127.0.0.1", 25, False, False)),
]


@pytest.mark.parametrize(("url", "server"), URLS, ids=[row[0] for row in URLS])
def test_urls_of_mail_servers(url: str, server: MailServer) -> None:
    assert mail_server(url) == server
    assert "a:b" not in repr(mail_server(url))


BAD_URLS = [
    "",
    "mail.example.com",
    "http://mail.example.com",
    "smtp://secret:word@mail.example.com",
    "smtp://mail.example.com?tls",
    "smtps://mail.example.com?starttls",
    "smtp://secret:word@mail.example.com:99999?starttls",
    "smtp://[secret?starttls",
    "smtp:///path?starttls",
]


@pytest.mark.parametrize("url", BAD_URLS)
def test_urls_that_cannot_be_are_refused_unrepeated(url: str) -> None:
    with pytest.raises(ValueError, match="mail server") as refused:
        mail_server(url)
    assert "secret" not in str(refused.value)
