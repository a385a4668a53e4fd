"""Money between people and programs: plain decimals out here, whole micros (millionths) inside; never a float."""

import re

import typer

MICROS = 1_000_000
# Cents are always shown, smaller parts only where there are any.
_LEAST_DECIMALS = 2
_DECIMAL = re.compile(r"(-?)([0-9]{1,10})(?:\.([0-9]{1,6}))?")


def micros_of(text: str) -> int:
    """The exact micros of a decimal as "25" or "0.0045".

    Exponents, signs other than a minus, spaces and thousands separators are refused, because each is read differently
    somewhere.
    """
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise typer.BadParameter(
            f"{text!r} is not an amount such as 25 or 0.0045: at most ten digits, and six after the point"
        )
    minus, whole, fraction = match.groups("")
    return int(f"{minus}{whole}{fraction.ljust(6, '0')}")


def decimal_of(micros: int) -> str:
    """Micros as a decimal, with at least the cents: "25.00", "0.0045"."""
    whole, fraction = divmod(abs(micros), MICROS)
    digits = f"{fraction:06}".rstrip("0").ljust(_LEAST_DECIMALS, "0")
    return f"{'-' if micros < 0 else ''}{whole:,}.{digits}"


def amount_of(micros: int) -> str:
    """Micros as `micros_of` reads them, exact: "1234.50"."""
    return decimal_of(micros).replace(",", "")


def money(micros: int, currency_code: str) -> str:
    """Micros with their currency: "25.00 USD"."""
    return f"{decimal_of(micros)} {currency_code}"


def signed(micros: int) -> str:
    """A change: "+25.00", "-0.0045"; nothing for none."""
    if micros == 0:
        return ""
    return ("+" if micros > 0 else "") + decimal_of(micros)
