"""The words of the contract: each value is the name of the proto enum's value without its prefix.

UNRECOGNIZED stands for a word that a newer service sent and this client does not know; it is never sent.
"""

from enum import StrEnum

UNRECOGNIZED = "UNRECOGNIZED"


class CallType(StrEnum):
    """What a call is, in the vocabulary of the usage report."""

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
    UNRECOGNIZED = UNRECOGNIZED


class Outcome(StrEnum):
    """How a decision came out."""

    AUTHORIZED = "AUTHORIZED"
    REFUSED = "REFUSED"
    UNRECOGNIZED = UNRECOGNIZED


class Reason(StrEnum):
    """Why a call was refused."""

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
    UNRECOGNIZED = UNRECOGNIZED


class SourceKind(StrEnum):
    """What pays a stretch of a call."""

    INCLUDED = "INCLUDED"
    POOL = "POOL"
    CREDITS = "CREDITS"
    POSTPAID = "POSTPAID"
    EMERGENCY = "EMERGENCY"
    UNRECOGNIZED = UNRECOGNIZED


class NumberClass(StrEnum):
    """Who may call a number, and what may pay."""

    ORDINARY = "ORDINARY"
    TOLL_FREE = "TOLL_FREE"
    PREMIUM = "PREMIUM"
    SHARED_COST = "SHARED_COST"
    EMERGENCY = "EMERGENCY"
    UNRECOGNIZED = UNRECOGNIZED


class CallState(StrEnum):
    """Where a call is in its life."""

    OPEN = "OPEN"
    REFUSED = "REFUSED"
    SETTLED = "SETTLED"
    RELEASED = "RELEASED"
    EXPIRED = "EXPIRED"
    UNRECOGNIZED = UNRECOGNIZED


class TenantStatus(StrEnum):
    """Whether a tenant's calls are served."""

    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    UNRECOGNIZED = UNRECOGNIZED


class RunningCalls(StrEnum):
    """What becomes of calls that run when their tenant is suspended."""

    DRAIN = "DRAIN"
    CUT = "CUT"
    UNRECOGNIZED = UNRECOGNIZED


class OrphanCharge(StrEnum):
    """What an expired hold costs, when nothing was ever heard of its call again."""

    NONE = "NONE"
    PROVEN = "PROVEN"
    UNRECOGNIZED = UNRECOGNIZED


class BillingMode(StrEnum):
    """What pays when credits are used up."""

    PREPAID = "PREPAID"
    POSTPAID = "POSTPAID"
    UNRECOGNIZED = UNRECOGNIZED


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
    UNRECOGNIZED = UNRECOGNIZED


class Direction(StrEnum):
    """Which way the calls go that a line of a deck prices."""

    OUT = "OUT"
    IN = "IN"
    UNRECOGNIZED = UNRECOGNIZED


class RechargeState(StrEnum):
    """Where an automatic recharge is."""

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
    UNRECOGNIZED = UNRECOGNIZED


class ChargeOutcome(StrEnum):
    """What an operator found out about a charge at the payment provider."""

    CHARGED = "CHARGED"
    NOT_CHARGED = "NOT_CHARGED"
    UNRECOGNIZED = UNRECOGNIZED


class NoticeKind(StrEnum):
    """What a notice is about."""

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
    UNRECOGNIZED = UNRECOGNIZED


class DeliveryState(StrEnum):
    """What became of a delivery of a notice."""

    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    DEAD = "DEAD"
    UNRECOGNIZED = UNRECOGNIZED


class UsageGroup(StrEnum):
    """What usage is summed by."""

    DAY = "DAY"
    PAYER = "PAYER"
    DESTINATION = "DESTINATION"
    COUNTRY = "COUNTRY"
    CAPABILITY = "CAPABILITY"
    CALL_TYPE = "CALL_TYPE"
    ORGANIZER = "ORGANIZER"
    TENANT = "TENANT"
    UNRECOGNIZED = UNRECOGNIZED
