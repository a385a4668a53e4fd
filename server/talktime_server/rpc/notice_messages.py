"""From what is kept of notices and whom they go to, to what AccountService answers."""

from talktime.v1 import account_service_pb2 as pb
from talktime_server.notices.recorded import Delivered, Recorded
from talktime_server.notices.targets import Admin, NoticeSettings, Webhook
from talktime_server.rpc.messages import instant
from talktime_server.words import DeliveryState, NoticeKind

KINDS = {kind: pb.NoticeKind.Value(f"NOTICE_KIND_{kind.value}") for kind in NoticeKind}
KIND_WORDS: dict[int, NoticeKind] = {int(number): kind for kind, number in KINDS.items()}
_STATES = {
    state: pb.DeliveryState.Value(f"DELIVERY_STATE_{state.value}") for state in DeliveryState
}


def settings_message(settings: NoticeSettings) -> pb.NoticeSettings:
    """Settings as stored, defaults filled in."""
    return pb.NoticeSettings(
        admins=[_admin(admin) for admin in settings.admins],
        low_balance_micros=settings.low_balance_micros,
        expiry_notice_days=settings.expiry_notice_days,
    )


def webhook_message(webhook: Webhook) -> pb.Webhook:
    """A webhook, without its secret."""
    return pb.Webhook(
        webhook_id=webhook.webhook_id,
        url=webhook.url,
        kinds=[KINDS[kind] for kind in webhook.kinds],
        disabled=webhook.disabled,
    )


def notice_message(notice: Recorded) -> pb.Notice:
    """A notice and what became of it."""
    return pb.Notice(
        notice_id=notice.notice_id,
        kind=KINDS[notice.kind],
        summary=notice.summary,
        notice_time=instant(notice.noticed_ms),
        deliveries=[_delivery(delivery) for delivery in notice.deliveries],
    )


def _admin(admin: Admin) -> pb.Admin:
    return pb.Admin(
        email=admin.email,
        display_name=admin.display_name,
        roles=admin.roles,
        language=admin.language,
    )


def _delivery(delivery: Delivered) -> pb.Delivery:
    return pb.Delivery(
        recipient=delivery.recipient,
        mail=delivery.mail,
        state=_STATES[delivery.state],
        attempts=delivery.attempts,
        failure=delivery.failure,
        next_time=instant(delivery.next_ms) if delivery.next_ms else None,
    )
