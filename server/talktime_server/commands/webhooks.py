"""`talktime notices webhook`: addresses that notices are posted to, and the secrets that sign them."""

from typing import TYPE_CHECKING, Annotated

import typer

from talktime_server.commands.exits import Exit, Stop
from talktime_server.commands.output import facts, line
from talktime_server.commands.picking import word
from talktime_server.commands.session import Session, asks

if TYPE_CHECKING:
    from talktime import Webhook

group = typer.Typer(no_args_is_help=True)

WebhookId = Annotated[
    str, typer.Argument(metavar="WEBHOOK", help="Its id, chosen by you, as ops-pager.")
]
_KEEP_IT = (
    "Keep the secret now: it is not shown again. Whoever has it can sign messages as this service does."
    " Lost: `talktime notices webhook rotate`."
)


@asks(group, "put")
def put(
    session: Session,
    webhook_id: WebhookId,
    url: Annotated[str, typer.Argument(metavar="URL", help="Where to; https.")],
    kind: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND",
            help="What it is told of, as BALANCE_LOW; repeat for more. Without any: everything.",
        ),
    ] = None,
) -> None:
    """Makes a webhook, or changes it, and shows the secret of a new one, once.

    Messages are signed after the Standard Webhooks specification, and tried again for days.
    A webhook that was switched off, because it was gone or never answered, is switched on again.

    Example: talktime notices webhook put ops-pager https://hooks.example.com/talktime --kind BALANCE_ZERO --tenant contoso
    """
    from talktime import Webhook

    kinds = tuple(word("NoticeKind", "--kind", each) for each in kind or ())
    with session.client() as client:
        stored = client.put_webhook(Webhook(webhook_id, url, kinds))
    pairs = [*_facts(stored.webhook), ("Secret", stored.secret)]
    session.show(stored, facts("", pairs), *([line(_KEEP_IT, "bold")] if stored.secret else []))


@asks(group, "rotate")
def rotate(session: Session, webhook_id: WebhookId) -> None:
    """Gives a webhook a new secret and shows it, once.

    The old one signs beside it for 24 hours, so that nothing is lost meanwhile.

    Example: talktime notices webhook rotate ops-pager --tenant contoso
    """
    with session.client() as client:
        secret = client.rotate_webhook_secret(webhook_id)
    pairs = [("Webhook", webhook_id), ("Secret", secret)]
    document = {"webhook_id": webhook_id, "secret": secret}
    session.show(document, facts("", pairs), line(_KEEP_IT, "bold"))


@asks(group, "remove")
def remove(session: Session, webhook_id: WebhookId) -> None:
    """Removes a webhook. What was not delivered to it yet is not delivered any more.

    Example: talktime notices webhook remove ops-pager --tenant contoso
    """
    with session.client() as client:
        known = [each.webhook_id for each in client.get_notice_settings().webhooks]
        client.delete_webhook(webhook_id)
    if webhook_id not in known:
        # Whoever repeats it wants it gone, and it is; whoever mistyped wants to hear so.
        raise Stop(
            Exit.NOT_FOUND,
            f"There is no webhook {webhook_id}. `talktime notices show` names those there are.",
        )
    session.show({"webhook_id": webhook_id, "removed": True}, line(f"{webhook_id} is removed."))


def _facts(webhook: "Webhook | None") -> list[tuple[str, object]]:
    if webhook is None:
        return []
    return [
        ("Webhook", webhook.webhook_id),
        ("URL", webhook.url),
        ("Told of", ", ".join(webhook.kinds) or "everything"),
        ("Disabled", "yes" if webhook.disabled else ""),
    ]
