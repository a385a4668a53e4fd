"""What can be asked of AccountService about notices: each function builds one request, or those of a list."""

from talktime import conversion
from talktime.ask import Ask, Defaults, Page, Pages, ask, reading, reading_page
from talktime.notices import Notice, NoticeSettings, NoticeTargets, StoredWebhook, Webhook
from talktime.v1 import account_service_pb2 as pb


def put_notice_settings(
    defaults: Defaults, settings: NoticeSettings, *, tenant_id: str | None = None
) -> Ask[NoticeSettings]:
    """Replaces whom a tenant's notices go to, and when they are due; shows it as stored."""
    request = pb.PutNoticeSettingsRequest(tenant_id=defaults.tenant(tenant_id))
    conversion.write(settings, request.settings)
    return ask(request, reading(NoticeSettings, "settings"))


def get_notice_settings(defaults: Defaults, tenant_id: str | None = None) -> Ask[NoticeTargets]:
    """Shows whom a tenant's notices go to, with the webhooks."""
    request = pb.GetNoticeSettingsRequest(tenant_id=defaults.tenant(tenant_id))
    return ask(request, reading(NoticeTargets))


def put_webhook(
    defaults: Defaults, webhook: Webhook, *, tenant_id: str | None = None
) -> Ask[StoredWebhook]:
    """Makes or replaces a webhook, at most 10 for a tenant. Its secret comes back once, when it is made: keep it.

    InvalidRequest for a URL that is not https, or that names a private address, unless the operator allows those.
    """
    request = pb.PutWebhookRequest(tenant_id=defaults.tenant(tenant_id))
    conversion.write(webhook, request.webhook)
    return ask(request, reading(StoredWebhook))


def rotate_webhook_secret(
    defaults: Defaults, webhook_id: str, *, tenant_id: str | None = None
) -> Ask[str]:
    """Gives a webhook a new secret and returns it; the one before it signs beside it for 24 hours."""
    request = pb.RotateWebhookSecretRequest(
        tenant_id=defaults.tenant(tenant_id), webhook_id=webhook_id
    )
    return ask(request, lambda answer: str(answer.secret))


def delete_webhook(
    defaults: Defaults, webhook_id: str, *, tenant_id: str | None = None
) -> Ask[None]:
    """Removes a webhook. It may be repeated."""
    request = pb.DeleteWebhookRequest(tenant_id=defaults.tenant(tenant_id), webhook_id=webhook_id)
    return ask(request, lambda answer: None)


def list_notices(
    defaults: Defaults, *, dead: bool = False, page_size: int = 0, tenant_id: str | None = None
) -> Pages[Notice]:
    """Lists notices and what became of them, newest first; `dead` keeps to those with a delivery given up."""

    def page(token: str) -> Ask[Page[Notice]]:
        request = pb.ListNoticesRequest(
            tenant_id=defaults.tenant(tenant_id),
            dead=dead,
            page_size=page_size,
            page_token=token,
        )
        return ask(request, reading_page(Notice, "notices"))

    return page


def replay_notices(
    defaults: Defaults, notice_id: str = "", *, tenant_id: str | None = None
) -> Ask[int]:
    """Delivers dead letters again, one notice's or all of a tenant, and returns how many deliveries that is."""
    request = pb.ReplayNoticesRequest(tenant_id=defaults.tenant(tenant_id), notice_id=notice_id)
    return ask(request, lambda answer: int(answer.deliveries))


def test_notice(
    defaults: Defaults,
    tenant_id: str | None = None,  # noqa: PT028  # the service sends it, no test does
) -> Ask[Notice]:
    """Sends a test notice to everybody whom the settings name; shows it as it is being delivered."""
    request = pb.TestNoticeRequest(tenant_id=defaults.tenant(tenant_id))
    return ask(request, reading(Notice, "notice"))
