"""The words of the trade, spelled as in the contract, the scripts and the journal.

Each value is the name of the proto enum's value without its prefix, so that one spelling serves
all.
"""

from enum import StrEnum


class CallType(StrEnum):
    """What a call is, in the vocabulary of the usage report (domain.md 7)."""

    USER_IN = "USER_IN"
    USER_OUT = "USER_OUT"
    USER_OUT_CONF = "USER_OUT_CONF"
    USER_OUT_TRANSFER = "USER_OUT_TRANSFER"
    USER_OUT_FORWARDING = "USER_OUT_FORWARDING"
    CONF_IN = "CONF_IN"
    CONF_OUT = "CONF_OUT"
    UCAP_IN = "UCAP_IN"
    UCAP_OUT = "UCAP_OUT"
    UNASSIGNED_IN = "UNASSIGNED_IN"

    @property
    def inbound(self) -> bool:
        """Whether the call comes in from the public network."""
        return self.endswith("_IN")


class Reason(StrEnum):
    """Why a call was refused, in the order of the checks."""

    TENANT_SUSPENDED = "TENANT_SUSPENDED"
    PAYER_UNKNOWN = "PAYER_UNKNOWN"
    PAYER_BLOCKED = "PAYER_BLOCKED"
    POLICY = "POLICY"
    PREMIUM_BARRED = "PREMIUM_BARRED"
    NO_LICENSE = "NO_LICENSE"
    NO_CREDITS_LICENSE = "NO_CREDITS_LICENSE"
    NO_RATE = "NO_RATE"
    RATE_CEILING = "RATE_CEILING"
    CALL_LIMIT = "CALL_LIMIT"
    SPEND_LIMIT = "SPEND_LIMIT"
    POOL_EXHAUSTED = "POOL_EXHAUSTED"
    INSUFFICIENT_CREDITS = "INSUFFICIENT_CREDITS"
    ALREADY_SETTLED = "ALREADY_SETTLED"
    BATCH_REFUSED = "BATCH_REFUSED"


class SourceKind(StrEnum):
    """What pays a stretch of a call."""

    INCLUDED = "INCLUDED"
    POOL = "POOL"
    CREDITS = "CREDITS"
    POSTPAID = "POSTPAID"
    EMERGENCY = "EMERGENCY"


class NumberClass(StrEnum):
    """Who may call a number, and what may pay."""

    ORDINARY = "ORDINARY"
    TOLL_FREE = "TOLL_FREE"
    PREMIUM = "PREMIUM"
    SHARED_COST = "SHARED_COST"
    EMERGENCY = "EMERGENCY"


class CallState(StrEnum):
    """Where a call is in its life."""

    OPEN = "OPEN"
    REFUSED = "REFUSED"
    SETTLED = "SETTLED"
    RELEASED = "RELEASED"
    EXPIRED = "EXPIRED"


class EntryKind(StrEnum):
    """What a line of the journal moved."""

    FUND = "FUND"
    HOLD = "HOLD"
    SETTLE = "SETTLE"
    RELEASE = "RELEASE"
    EXPIRE = "EXPIRE"
    LAPSE = "LAPSE"
    RECORD = "RECORD"
    UNMATCHED = "UNMATCHED"
    LIMIT = "LIMIT"
    ADJUST = "ADJUST"
    REFUND = "REFUND"
    CHARGEBACK = "CHARGEBACK"
    RECHARGE = "RECHARGE"
    PROFILE = "PROFILE"
    KEEP = "KEEP"


class RechargeState(StrEnum):
    """Where a tenant's automatic recharge is (semantics 47 to 61)."""

    OFF = "OFF"
    ARMED = "ARMED"
    CLAIMED = "CLAIMED"
    CHARGING = "CHARGING"
    UNKNOWN = "UNKNOWN"
    NEEDS_REVIEW = "NEEDS_REVIEW"
    COOLING = "COOLING"
    DECLINED = "DECLINED"
    STOPPED = "STOPPED"
    ACTION_REQUIRED = "ACTION_REQUIRED"
    CAPPED = "CAPPED"


class NoticeKind(StrEnum):
    """What admins are told (domain.md 6)."""

    RECHARGE_SUCCEEDED = "RECHARGE_SUCCEEDED"
    RECHARGE_FAILED = "RECHARGE_FAILED"
    RECHARGE_ACTION_REQUIRED = "RECHARGE_ACTION_REQUIRED"
    RECHARGE_CAP_REACHED = "RECHARGE_CAP_REACHED"
    BALANCE_ZERO = "BALANCE_ZERO"
    BALANCE_LOW = "BALANCE_LOW"
    POOL_80 = "POOL_80"
    POOL_100 = "POOL_100"
    CREDITS_EXPIRING = "CREDITS_EXPIRING"
    SPEND_LIMIT = "SPEND_LIMIT"
    TEST = "TEST"
    FUNDS_TAKEN_BACK = "FUNDS_TAKEN_BACK"


class DeliveryState(StrEnum):
    """What became of a delivery of a notice."""

    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    DEAD = "DEAD"
