"""What a person types for a field of the contract, so that a refused field is named as it was typed.

Programs keep the contract's own names: they read the faults of the error's document.
"""

import re

from talktime_server.commands.money import decimal_of

_INDEX = "["
_WHOLE_NUMBER = re.compile(r"-?[0-9]+")


def option_of(field: str) -> str:
    """The option or argument that sets a field, as "tenant.floor_micros" or "licenses[0]"; the field itself when no
    option does, or more than one.
    """
    if option := _WHOLE_FIELDS.get(field):
        return option
    for part in reversed(field.split(".")):
        if option := _OPTIONS.get(part.partition(_INDEX)[0]):
            return option
    return field


def rule_told(field: str, text: str) -> str:
    """A field's rule as people count: amounts in units of the currency, as they are typed here."""
    if not field.endswith("_micros"):
        return text
    return _WHOLE_NUMBER.sub(lambda found: decimal_of(int(found[0])), text)


# Where one name means something else than everywhere.
_WHOLE_FIELDS = {
    "rule.amount_micros": "--amount",
    "rule.expire_days": "--expire-days",
    "filter.country": "--country",
    "filter.payer_id": "--payer",
    "adjustment_id": "--id",
    "refund_id": "--id",
}
_OPTIONS = {
    "tenant_id": "TENANT",
    "payer_id": "PAYER",
    "to_number": "TO",
    "from_number": "--from",
    "routing_number": "--routing-number",
    "conference_id": "--conference",
    "conference_budget_micros": "--budget",
    "requested_seconds": "--seconds",
    "additional_seconds": "SECONDS",
    "duration_seconds": "SECONDS",
    "sequence": "--sequence",
    "amount_micros": "AMOUNT",
    "funding_id": "--id",
    "expire_days": "--expire-days",
    "reference_id": "--reference",
    "purchase_order": "--purchase-order",
    "user_principal_name": "--user-principal-name",
    "trigger_micros": "--trigger",
    "payment_methods": "--method",
    "max_per_day": "--per-day",
    "max_per_month": "--per-month",
    "max_amount_per_day_micros": "--amount-per-day",
    "max_amount_per_month_micros": "--amount-per-month",
    "cooling_seconds": "--cooling",
    "low_balance_micros": "--low-balance",
    "expiry_notice_days": "--expiry-days",
    "admins": "EMAIL",
    "email": "EMAIL",
    "roles": "--role",
    "language": "--language",
    "webhook_id": "WEBHOOK",
    "url": "URL",
    "kinds": "--kind",
    "notice_id": "NOTICE",
    "charge_id": "--charge",
    "outcome": "--outcome",
    "call_type": "--type",
    "capability": "--licence",
    "start_time": "--from",
    "end_time": "--to",
    "row_count": "--rows",
    "currency_code": "--currency",
    "country": "--country",
    "display_name": "--name",
    "phone_number": "--phone-number",
    "licenses": "--license",
    "add_licenses": "SKU",
    "remove_licenses": "SKU",
    "reason": "--reason",
    "dial_out_policy": "POLICY",
    "bought_licenses": "--bought",
    "default_grant_seconds": "--default-grant",
    "min_grant_seconds": "--min-grant",
    "lease_grace_seconds": "--lease-grace",
    "floor_micros": "--floor",
    "inbound_grace_micros": "--inbound-grace",
    "default_rate_per_minute_micros": "--default-rate",
    "blocked_prefixes": "--block",
    "allowed_prefixes": "--allow",
    "max_open_calls": "--open-calls",
    "max_open_calls_per_payer": "--open-calls-each",
    "max_calls_per_second": "--calls-per-second",
    "max_calls_per_second_per_payer": "--calls-per-second-each",
    "max_spend_per_day_micros": "--spend-per-day",
    "max_spend_per_day_per_payer_micros": "--spend-per-day-each",
    "max_spend_per_month_micros": "--spend-per-month",
    "max_spend_per_month_per_payer_micros": "--spend-per-month-each",
    "max_costly_calls_per_day": "--costly-calls-per-day",
    "max_costly_calls_per_day_per_payer": "--costly-calls-per-day-each",
    "costly_rate_per_minute_micros": "--costly-rate",
    "max_rate_per_minute_micros": "--max-rate",
    "max_payer_hold_percent": "--payer-share",
    "max_unassigned_calls_per_minute": "--unassigned-per-minute",
}
