"""From micros to the smallest unit that a provider counts in, and back.

ISO 4217 gives each currency its decimals: two for most, none for JPY and KRW, three for KWD. Where card networks
and Stripe differ from the list, theirs is what is charged: IDR has two, MGA has none, ISK and UGX are sent with two
decimals that must be zero, and of three decimals the last must be zero.
"""

from talktime_server.payments.errors import BadRequest

_MICROS_DECIMALS = 6
_NO_DECIMALS = frozenset(
    {"BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA"}
    | {"PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"}
)
_THREE_DECIMALS = frozenset({"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"})
_WHOLE_ONLY = frozenset({"ISK", "UGX"})


def payable(amount_micros: int, currency: str) -> bool:
    """Whether an amount above zero can be charged: no less than the smallest sum of its currency is left over."""
    return amount_micros > 0 and amount_micros % smallest_micros(currency) == 0


def smallest_micros(currency: str) -> int:
    """The smallest sum that can be charged, in micros; `currency` is an ISO 4217 code, as "JPY"."""
    if currency in _NO_DECIMALS or currency in _WHOLE_ONLY:
        return 1_000_000
    return 10_000


def to_minor(amount_micros: int, currency: str) -> int:
    """An amount in minor units, as 1050 for 10.50 dollars. Raises BadRequest where it is no whole number of them."""
    if not payable(amount_micros, currency):
        raise BadRequest("the amount is not payable in its currency", reason="AMOUNT_NOT_PAYABLE")
    return amount_micros // _micros_per_unit(currency)


def to_micros(amount_minor: int, currency: str) -> int:
    """An amount in micros; the way back from `to_minor`."""
    return amount_minor * _micros_per_unit(currency)


def _micros_per_unit(currency: str) -> int:
    return int(10 ** (_MICROS_DECIMALS - decimals(currency)))


def decimals(currency: str) -> int:
    """How many decimals the minor unit stands for: 0, 2 or 3."""
    if currency in _NO_DECIMALS:
        return 0
    return 3 if currency in _THREE_DECIMALS else 2
