"""`talktime notices`: what a tenant's admins are told, who they are, and what became of it."""

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from talktime_server.commands.exits import Exit, Stop
from talktime_server.commands.money import micros_of, money
from talktime_server.commands.output import counted, facts, instant, line, table
from talktime_server.commands.session import Session, asks

if TYPE_CHECKING:
    from talktime import Admin, Client, Delivery, Notice, NoticeSettings, NoticeTargets

group = typer.Typer(no_args_is_help=True)
admins = typer.Typer(no_args_is_help=True)
group.add_typer(admins, name="admin", help="Who gets mails, and which.")

DEFAULT_EXPIRY_DAYS = 30
_COLUMNS = ("When", "About", "What", "To", "State", "Notice")
_NOBODY = (
    "Nobody is told: name admins with `talktime notices admin add`,"
    " or a webhook with `talktime notices webhook put`."
)

Email = Annotated[str, typer.Argument(metavar="EMAIL", help="The mail address.")]


@asks(group, "show")
def show(session: Session) -> None:
    """Shows whom a tenant's notices go to, and when they are due.

    Example: talktime notices show --tenant contoso
    """
    with session.client() as client:
        targets = client.get_notice_settings()
        currency = client.get_tenant().currency_code
    _show(session, targets, currency)


@asks(group, "set")
def set_(
    session: Session,
    low_balance: Annotated[
        list[int] | None,
        typer.Option(
            metavar="AMOUNT",
            parser=micros_of,
            help="Tell when what is free falls below this. Repeat for more, up to 5; 0 tells of none.",
        ),
    ] = None,
    expiry_days: Annotated[
        int | None,
        typer.Option(min=0, help="Tell so many days before credits are lost; 0 is 30."),
    ] = None,
) -> None:
    """Sets when notices are due; what is not named stays as it is.

    Each level is told once when the balance falls below it, and again only after it was above.
    Told without being asked for: a balance used up, recharges, pools used to 80 and 100 percent, limits reached.

    Example: talktime notices set --low-balance 100 --low-balance 20 --expiry-days 14 --tenant contoso
    """
    if low_balance is None and expiry_days is None:
        raise Stop(Exit.USAGE, "Name --low-balance, --expiry-days, or both.")
    with session.client() as client:
        settings = _settings(client)
        if low_balance is not None:
            levels = tuple(sorted({level for level in low_balance if level}, reverse=True))
            settings = replace(settings, low_balance_micros=levels)
        if expiry_days is not None:
            settings = replace(settings, expiry_notice_days=expiry_days)
        _store(session, client, settings)


@asks(admins, "add")
def add_admin(
    session: Session,
    email: Email,
    role: Annotated[
        list[str],
        typer.Option(
            metavar="ROLE",
            help='An administrator role, as "Billing Administrator"; it decides which notices come. Repeat for more.',
        ),
    ],
    name: Annotated[str, typer.Option(help="A name for people.")] = "",
    language: Annotated[
        str, typer.Option(metavar="CODE", help="Of the mails: en, ko, ja, id or zh.")
    ] = "",
) -> None:
    """Sends a tenant's notices to somebody; named again, with other roles, name and language.

    Example: talktime notices admin add billing@contoso.example.com --role "Billing Administrator" --language ko --tenant contoso
    """
    from talktime import Admin

    admin = Admin(email, tuple(role), name, language)
    with session.client() as client:
        settings = _settings(client)
        _store(session, client, replace(settings, admins=(*_without(settings, email), admin)))


@asks(admins, "remove")
def remove_admin(session: Session, email: Email) -> None:
    """Sends somebody nothing any more.

    Example: talktime notices admin remove billing@contoso.example.com --tenant contoso
    """
    with session.client() as client:
        settings = _settings(client)
        kept = _without(settings, email)
        if len(kept) == len(settings.admins):
            raise Stop(
                Exit.NOT_FOUND, "No such admin. `talktime notices show` names those there are."
            )
        _store(session, client, replace(settings, admins=kept))


@asks(group, "list")
def list_(
    session: Session,
    dead: Annotated[
        bool, typer.Option("--dead", help="Only those that could not be delivered.")
    ] = False,
    last: Annotated[int, typer.Option(min=0, help="Only so many, the newest; 0 shows all.")] = 50,
) -> None:
    """Lists notices and what became of them, newest first.

    Example: talktime notices list --tenant contoso

    Example: talktime notices list --dead --tenant contoso
    """
    with session.client() as client:
        found = []
        for notice in client.list_notices(dead=dead, page_size=min(last, 500) or 500):
            found.append(notice)
            if len(found) == last:
                break
    session.show({"notices": found}, table("", _COLUMNS, _rows(found)))


@asks(group, "replay")
def replay(
    session: Session,
    notice_id: Annotated[
        str, typer.Argument(metavar="NOTICE", help="Its id, as `talktime notices list` shows.")
    ] = "",
    everything: Annotated[
        bool, typer.Option("--all", help="Everything of the tenant that could not be delivered.")
    ] = False,
) -> None:
    """Delivers again what could not be delivered: one notice, or all.

    Example: talktime notices replay --all --tenant contoso
    """
    if bool(notice_id) == everything:
        raise Stop(Exit.USAGE, "Name a NOTICE, or --all.")
    with session.client() as client:
        deliveries = client.replay_notices(notice_id)
    told = counted(deliveries, "delivery is tried again", "deliveries are tried again")
    session.show({"deliveries": deliveries}, line(f"{told}."))


@asks(group, "test")
def test(session: Session) -> None:
    """Sends a test notice to everybody whom the settings name. What became of it: talktime notices list.

    Example: talktime notices test --tenant contoso
    """
    with session.client() as client:
        notice = client.test_notice()
    told = [table("", _COLUMNS, _rows([notice]))] if notice.deliveries else [line(_NOBODY)]
    session.show(notice, *told)


def _settings(client: "Client") -> "NoticeSettings":
    from talktime import NoticeSettings

    return client.get_notice_settings().settings or NoticeSettings()


def _without(settings: "NoticeSettings", email: str) -> "tuple[Admin, ...]":
    return tuple(each for each in settings.admins if each.email.lower() != email.lower())


def _store(session: Session, client: "Client", settings: "NoticeSettings") -> None:
    client.put_notice_settings(settings)
    _show(session, client.get_notice_settings(), client.get_tenant().currency_code)


def _show(session: Session, targets: "NoticeTargets", currency: str) -> None:
    settings = targets.settings
    people = settings.admins if settings else ()
    levels = settings.low_balance_micros if settings else ()
    days = (settings.expiry_notice_days if settings else 0) or DEFAULT_EXPIRY_DAYS
    told = [money(level, currency) for level in levels]
    pairs = [
        ("Low balance is told below", ", ".join(told) or "no level is set"),
        ("Lost credits are told", f"{days} days before"),
    ]
    mails = [(a.email, a.display_name, a.language or "en", "; ".join(a.roles)) for a in people]
    hooks = [
        (w.webhook_id, w.url, ", ".join(w.kinds) or "everything", "disabled" if w.disabled else "")
        for w in targets.webhooks
    ]
    drawings = [facts("", pairs), line("")]
    if mails:
        drawings += [table("Mails", ("To", "Name", "Language", "Roles"), mails), line("")]
    if hooks:
        drawings += [table("Webhooks", ("Webhook", "URL", "Told of", ""), hooks)]
    session.show(targets, *drawings, *([] if mails or hooks else [line(_NOBODY)]))


def _rows(found: "Iterable[Notice]") -> list[tuple[object, ...]]:
    """A line for each delivery; a notice to nobody has one, too."""
    rows: list[tuple[object, ...]] = []
    for notice in found:
        about = (instant(notice.notice_time), notice.kind, notice.summary)
        rows += [
            (*about, each.recipient, _became(each), notice.notice_id) for each in notice.deliveries
        ] or [(*about, "nobody", "", notice.notice_id)]
    return rows


def _became(delivery: "Delivery") -> str:
    """What became of a delivery, and what comes next."""
    told = [str(delivery.state)]
    if delivery.attempts > 1 or delivery.failure:
        told.append(counted(delivery.attempts, "try", "tries"))
    if delivery.failure:
        told.append(delivery.failure)
    if delivery.attempts and delivery.next_time:
        told.append(f"next at {instant(delivery.next_time)}")
    return ", ".join(told)
