"""The checks of `talktime doctor` about money: the archive, the payment providers, and the mail server. Nothing is charged,
sent or changed.
"""

import asyncio
import smtplib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

from talktime_server.archive.condition import Tables, bound_to, condition_of
from talktime_server.archive.database import Database
from talktime_server.archive.state import status_of
from talktime_server.commands.finding import Finding, Verdict
from talktime_server.config import Settings
from talktime_server.config_kinds import secret
from talktime_server.failure import ArchiveAway, Failure
from talktime_server.ledger.store import Store
from talktime_server.notices.mail import MailServer, mail_server
from talktime_server.payments.errors import PaymentFailure
from talktime_server.payments.providers import Later, callers_back, gateways

MAIL_TIMEOUT_S = 5.0
# An archive that is further behind than this is not being written, or not fast enough.
MOST_LAG_MS = 60_000


async def archive(settings: Settings, store: Store | None) -> AsyncIterator[Finding]:
    """The archive, and how far it is behind the store when there is one that it belongs to."""
    if settings.store_url and settings.archive.startswith("sqlite"):
        text = "the archive is a file of this machine, and the store is not"
        advice = "when other machines use that store too, set TALKTIME_ARCHIVE_URL to a PostgreSQL"
        yield Finding("archive", Verdict.WARN, text, advice)
    if _missing(settings):
        yield await _to_be_made(store, "it will be made at the first start")
        return
    database = Database(settings.archive)
    try:
        async for finding in _ask(database, store):
            yield finding
    except ArchiveAway:
        advice = "start it, or set TALKTIME_ARCHIVE_URL right; calls go on, and the store keeps the journal"
        yield Finding("archive", Verdict.BAD, "it cannot be reached", advice)
    finally:
        await database.close()


async def _ask(database: Database, store: Store | None) -> AsyncIterator[Finding]:
    condition = await condition_of(database)
    match condition.tables:
        case Tables.NONE:
            yield await _to_be_made(store, "its tables will be made at the next start")
            return
        case Tables.NEWER:
            text = "a newer talktime wrote it"
            yield Finding("archive", Verdict.BAD, text, "use that version, or another archive")
            return
        case Tables.OLDER:
            text = "an older talktime wrote it; its tables are brought up to date at the next start"
            yield Finding("archive", Verdict.OK, text)
        case Tables.CURRENT:
            yield Finding("archive", Verdict.OK, "its tables are up to date")
    if store is not None:
        async for finding in _beside(database, store, condition.archive_id):
            yield finding


async def _to_be_made(store: Store | None, text: str) -> Finding:
    try:
        elsewhere = store is not None and await bound_to(store)
    except Failure:  # The store's own check has told.
        elsewhere = False
    return _another() if elsewhere else Finding("archive", Verdict.OK, text)


def _another() -> Finding:
    text = "the store's journal goes to another archive"
    advice = "set TALKTIME_ARCHIVE_URL to the archive of this store"
    return Finding("archive's store", Verdict.BAD, text, advice)


async def _beside(database: Database, store: Store, archive_id: str) -> AsyncIterator[Finding]:
    """An archive and the store whose journal it keeps."""
    try:
        bound = await bound_to(store)
        status = await status_of(database, store)
    except ArchiveAway:
        raise
    except Failure:
        return  # The store's own check has told.
    if bound != archive_id and (bound or status.entries):
        yield _another()
        return
    for alarm in status.alarms:
        advice = "see the log of the back office, and talktime archive verify"
        yield Finding("archive's journal", Verdict.BAD, alarm, advice)
    waiting = f"{status.waiting:,} wait, for {status.lag_ms / 1000:.1f} s"
    text = f"{status.entries:,} lines are in it, {waiting if status.waiting else 'none waits'}"
    if status.lag_ms > MOST_LAG_MS:
        advice = "see the log of the back office; calls go on, and the store keeps the journal"
        yield Finding("archive's lag", Verdict.WARN, text, advice)
    else:
        yield Finding("archive's lag", Verdict.OK, text)


async def payments(settings: Settings) -> AsyncIterator[Finding]:
    """Each payment provider: whether it can be reached and knows us. Charges nothing."""
    found, called = gateways(settings, secret), callers_back(settings)
    if not found:
        text = "no payment provider is set in this shell; a service without one has its credits added by hand"
        yield Finding("payments", Verdict.OK, text)
    for name, gateway in found.items():
        yield await _provider(name, gateway)
        if name in called and not settings.webhook_port:
            text = f"{name} has a secret for its webhooks, and nothing takes them"
            yield Finding("payments", Verdict.WARN, text, "set TALKTIME_WEBHOOK_PORT")


async def _provider(name: str, gateway: Later) -> Finding:
    try:
        gateway.made()
        await gateway.check()
    except ValueError as error:
        return Finding("payments", Verdict.BAD, f"{name}: {error}", "set what the provider gave")
    except PaymentFailure as failure:
        advice = "recharges wait until it is; see its TALKTIME_ settings"
        return Finding("payments", Verdict.BAD, f"{name}: {failure.message}", advice)
    finally:
        await gateway.close()
    return Finding("payments", Verdict.OK, f"{name} can be reached and knows us")


async def mail(settings: Settings) -> AsyncIterator[Finding]:
    """The mail server: whether it lets us in. Sends nothing."""
    if not settings.smtp_url:
        text = "no mail server is set: notices go to webhooks alone"
        yield Finding("mail", Verdict.OK, text)
        return
    try:
        server = mail_server(settings.smtp_url)
        authority = str(settings.smtp_ca) if settings.smtp_ca else None
        await asyncio.to_thread(_greet, server, authority)
    except (ValueError, smtplib.SMTPException, OSError) as error:
        text = f"the mail server does not let us in ({type(error).__name__})"
        yield Finding("mail", Verdict.BAD, text, "set TALKTIME_SMTP_URL and TALKTIME_SMTP_CA right")
    else:
        yield Finding("mail", Verdict.OK, f"{server.host}:{server.port} lets us in")


def _greet(server: MailServer, authority: str | None) -> None:
    context = ssl.create_default_context(cafile=authority)
    place = (server.host, server.port)
    with (
        smtplib.SMTP_SSL(*place, timeout=MAIL_TIMEOUT_S, context=context)
        if server.tls
        else smtplib.SMTP(*place, timeout=MAIL_TIMEOUT_S)
    ) as connection:
        if server.starttls:
            connection.starttls(context=context)
        if server.user:
            connection.login(server.user, server.password)
        connection.noop()


def _missing(settings: Settings) -> bool:
    """Whether the archive is a file that is not there yet."""
    path = settings.archive.removeprefix("sqlite:///")
    return path != settings.archive and not Path(path).exists()
