"""talktime's client: asks, call by call, whether a call may start, and settles it when it ends. See client.py.

It is loaded with the first of its names: the contract's messages, below here in v1/, serve those who need no client too.
"""

import importlib
import typing

if typing.TYPE_CHECKING:
    from talktime.accounts import (
        Block,
        BoughtLicense,
        Conservation,
        Entry,
        Payer,
        PayerChanges,
        Pool,
        PoolMovement,
        Tenant,
    )
    from talktime.answers import (
        Authorization,
        Balance,
        Batch,
        Call,
        CallFields,
        Check,
        Extension,
        Leg,
        Quote,
        Rate,
        Release,
        Settlement,
        Source,
    )
    from talktime.async_client import AsyncClient
    from talktime.client import Client
    from talktime.decks import (
        DeckScope,
        RateDeck,
        RateDecks,
        RateRow,
        ShadowLine,
        ShadowReport,
    )
    from talktime.errors import (
        Applied,
        Cancelled,
        Conflict,
        DeadlineExceeded,
        IdempotencyMismatch,
        InternalError,
        InvalidRequest,
        NotAuthenticated,
        NotFound,
        NotPermitted,
        TalktimeError,
        TooMuch,
        Unavailable,
        Unimplemented,
        Violation,
    )
    from talktime.funds import (
        Adjustment,
        BalanceReading,
        Funding,
        Lot,
        Refund,
        TenantBalance,
    )
    from talktime.notices import (
        Admin,
        Delivery,
        Notice,
        NoticeSettings,
        NoticeTargets,
        StoredWebhook,
        Webhook,
    )
    from talktime.numbers import (
        UnusableNumber,
        normalize,
    )
    from talktime.pipeline import Exchange
    from talktime.recharges import (
        PaymentMethod,
        Recharge,
        RechargeCheck,
        RechargeRule,
        RechargeStep,
        RechargeTrial,
        RuledRecharge,
    )
    from talktime.reports import (
        ArchiveStatus,
        CallFilter,
        FundingAdvice,
        UsageLine,
        UsageReport,
        UsageRow,
    )
    from talktime.retry import RetrySettings
    from talktime.words import (
        BillingMode,
        CallState,
        CallType,
        ChargeOutcome,
        DeliveryState,
        Direction,
        EntryKind,
        NoticeKind,
        NumberClass,
        OrphanCharge,
        Outcome,
        Reason,
        RechargeState,
        RunningCalls,
        SourceKind,
        TenantStatus,
        UsageGroup,
    )

__version__ = "0.1.0"

__all__ = [
    "Adjustment",
    "Admin",
    "Applied",
    "ArchiveStatus",
    "AsyncClient",
    "Authorization",
    "Balance",
    "BalanceReading",
    "Batch",
    "BillingMode",
    "Block",
    "BoughtLicense",
    "Call",
    "CallFields",
    "CallFilter",
    "CallState",
    "CallType",
    "Cancelled",
    "ChargeOutcome",
    "Check",
    "Client",
    "Conflict",
    "Conservation",
    "DeadlineExceeded",
    "DeckScope",
    "Delivery",
    "DeliveryState",
    "Direction",
    "Entry",
    "EntryKind",
    "Exchange",
    "Extension",
    "Funding",
    "FundingAdvice",
    "IdempotencyMismatch",
    "InternalError",
    "InvalidRequest",
    "Leg",
    "Lot",
    "NotAuthenticated",
    "NotFound",
    "NotPermitted",
    "Notice",
    "NoticeKind",
    "NoticeSettings",
    "NoticeTargets",
    "NumberClass",
    "OrphanCharge",
    "Outcome",
    "Payer",
    "PayerChanges",
    "PaymentMethod",
    "Pool",
    "PoolMovement",
    "Quote",
    "Rate",
    "RateDeck",
    "RateDecks",
    "RateRow",
    "Reason",
    "Recharge",
    "RechargeCheck",
    "RechargeRule",
    "RechargeState",
    "RechargeStep",
    "RechargeTrial",
    "Refund",
    "Release",
    "RetrySettings",
    "RuledRecharge",
    "RunningCalls",
    "Settlement",
    "ShadowLine",
    "ShadowReport",
    "Source",
    "SourceKind",
    "StoredWebhook",
    "TalktimeError",
    "Tenant",
    "TenantBalance",
    "TenantStatus",
    "TooMuch",
    "Unavailable",
    "Unimplemented",
    "UnusableNumber",
    "UsageGroup",
    "UsageLine",
    "UsageReport",
    "UsageRow",
    "Violation",
    "Webhook",
    "normalize",
]

# In the order in which they are looked through for a name: whoever needs one face does not load the other.
_ROOMS = (
    "words",
    "errors",
    "answers",
    "accounts",
    "decks",
    "funds",
    "notices",
    "numbers",
    "recharges",
    "reports",
    "retry",
    "client",
    "pipeline",
    "async_client",
)


def __dir__() -> list[str]:
    return __all__


if not typing.TYPE_CHECKING:  # or a type checker would believe in any name

    def __getattr__(name: str) -> object:
        for room in _ROOMS if name in __all__ else ():
            found = vars(importlib.import_module(f"{__name__}.{room}"))
            if name in found:
                return globals().setdefault(name, found[name])
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
