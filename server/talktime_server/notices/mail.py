"""Mail over SMTP, encrypted: STARTTLS or TLS from the first byte, and the certificate checked.

A delivery's Message-ID is always the same, so that a mail that came twice, because its sender died
right after it was taken, can be told from two mails. What a mail server says is never repeated:
it likes to name addresses.
"""

import asyncio
import smtplib
import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from ipaddress import ip_address
from urllib.parse import unquote, urlsplit

from talktime_server.notices.outcome import TAKEN, Outcome
from talktime_server.notices.told import one_line

TIMEOUT_S = 15.0  # for each answer of the server
DELIVERY_S = 90.0  # for all of them together
AT_ONCE = 4
_PORTS = {"smtp": 587, "smtps": 465}
_LOCAL = ("localhost",)
_POLICY = SMTP.clone(cte_type="7bit")  # some servers still pass on no more


@dataclass(frozen=True, slots=True)
class Mail:
    """A notice as a mail says it."""

    subject: str
    plain: str
    html: str
    language: str  # a tag of BCP 47


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mails are handed in. The password shows in no representation."""

    host: str
    port: int
    tls: bool  # from the first byte
    starttls: bool
    user: str = ""
    password: str = ""

    def __repr__(self) -> str:
        return f"MailServer({self.host}:{self.port})"


def mail_server(url: str) -> MailServer:
    """The server of smtp://USER:PASSWORD@HOST:PORT?starttls or smtps://USER:PASSWORD@HOST:PORT. Without
    encryption only a server on this machine will do. Raises ValueError, which repeats nothing of the URL.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("the mail server's URL cannot be read") from None
    if parts.scheme not in _PORTS or not host or parts.path not in ("", "/"):
        raise ValueError("the mail server's URL is smtp://HOST:PORT?starttls or smtps://HOST:PORT")
    tls, starttls = parts.scheme == "smtps", parts.query == "starttls"
    if parts.query and (tls or not starttls):
        raise ValueError(
            'after its host a mail server\'s URL has "?starttls", for smtp, or nothing'
        )
    if not (tls or starttls or _on_this_machine(host)):
        raise ValueError("a mail server elsewhere needs ?starttls or smtps")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return MailServer(host, port or _PORTS[parts.scheme], tls, starttls, user, password)


@dataclass(frozen=True, slots=True)
class Envelope:
    """A mail, whom it goes to, and the delivery it is."""

    delivery_id: str
    address: str
    display_name: str
    mail: Mail


class Mailer:
    """Hands mails in, several at a time. `sender` is an address with or without a name before it."""

    def __init__(
        self,
        server: MailServer,
        sender: str,
        *,
        authority: str | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._server = server
        self._sender = sender_of(sender)
        self._tls = ssl.create_default_context(cafile=authority)
        self._timeout_s = timeout_s
        self._threads = ThreadPoolExecutor(AT_ONCE, "mail")

    async def send(self, envelope: Envelope) -> Outcome:
        """Hands one mail in."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(DELIVERY_S):
                return await loop.run_in_executor(self._threads, self._deliver, envelope)
        except TimeoutError:
            return Outcome("the mail server did not answer in time")

    def close(self) -> None:
        """Ends the threads as their mails are done."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _deliver(self, envelope: Envelope) -> Outcome:
        try:
            message = message_of(envelope, self._sender)
            connection = self._connected()
            try:
                connection.send_message(message)
            finally:
                _leave(connection)
        except (smtplib.SMTPException, OSError) as error:
            return _failed(error)
        except (ValueError, UnicodeError):
            return Outcome("the mail cannot be written to this address", final=True)
        return TAKEN

    def _connected(self) -> smtplib.SMTP:
        server = self._server
        # The name we greet with is given: to look it up may take as long as all the rest.
        place, me = (server.host, server.port), self._sender.domain
        smtp: smtplib.SMTP = (
            smtplib.SMTP_SSL(*place, me, timeout=self._timeout_s, context=self._tls)
            if server.tls
            else smtplib.SMTP(*place, me, timeout=self._timeout_s)
        )
        try:
            if server.starttls:
                smtp.starttls(context=self._tls)
            if server.user:
                smtp.login(server.user, server.password)
        except BaseException:
            smtp.close()
            raise
        return smtp


def message_of(envelope: Envelope, sender: Address) -> EmailMessage:
    """The mail as it is handed in. Raises ValueError for an address that no header can hold."""
    message = EmailMessage(policy=_POLICY)
    message["From"] = sender
    message["To"] = Address(one_line(envelope.display_name), addr_spec=envelope.address)
    message["Subject"] = one_line(envelope.mail.subject)
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Message-ID"] = f"<{envelope.delivery_id}@{sender.domain}>"
    message["Auto-Submitted"] = "auto-generated"  # so that no holiday note answers
    message.set_content(envelope.mail.plain)
    message.add_alternative(envelope.mail.html, subtype="html")
    message["Content-Language"] = envelope.mail.language  # last: contents take such headers along
    return message


def sender_of(text: str) -> Address:
    """An address with or without a name: "Phone team <phones@example.com>". Raises ValueError."""
    name, address = parseaddr(text)
    if "@" not in address or not address.isascii() or one_line(text) != text:
        raise ValueError("the sender of mails is an address, or a name and an address in <>")
    try:
        return Address(name, addr_spec=address)
    except (ValueError, IndexError, AttributeError):
        raise ValueError("the sender's address cannot be read") from None


def _leave(connection: smtplib.SMTP) -> None:
    """Says goodbye. What was taken is taken, whether or not the server answers that."""
    with suppress(smtplib.SMTPException, OSError):
        connection.quit()
    connection.close()


def _on_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host in _LOCAL


def _failed(error: Exception) -> Outcome:
    """Why a mail was not taken, in our words."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = [int(answer[0]) for answer in error.recipients.values()]
        return _answered(codes[0] if codes else 0)
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return Outcome("the mail server does not accept our password")
    if isinstance(error, smtplib.SMTPResponseException):
        # Only what is said of a recipient or a text is final: a server that has trouble may have none later.
        final = isinstance(error, smtplib.SMTPDataError)
        return _answered(int(error.smtp_code), final=final)
    # The library wraps what broke a talk into a word of its own.
    causes = (error, error.__context__)
    found = (text for kind, text in _REASONS if any(isinstance(each, kind) for each in causes))
    return Outcome(next(found, "the mail server could not be reached"))


def _answered(code: int, *, final: bool = True) -> Outcome:
    return Outcome(f"SMTP {code}", final=final and 500 <= code < 600)


_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (ssl.SSLError, "the mail server's certificate or encryption is not good"),
    (smtplib.SMTPNotSupportedError, "the mail server offers no encryption or no login"),
    (TimeoutError, "the mail server did not answer in time"),
    (ConnectionRefusedError, "the mail server refused the connection"),
    (smtplib.SMTPServerDisconnected, "the mail server hung up"),
)
