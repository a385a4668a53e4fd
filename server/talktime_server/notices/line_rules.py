"""Notices that follow from one line alone, whatever the balance: steps of a recharge, limits, money taken back."""

import re
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgpack

from talktime_server.ledger.entries import Entry
from talktime_server.notices.notice import Notice, Parameters
from talktime_server.words import EntryKind, NoticeKind, RechargeState

_TAKEN_BACK = frozenset({EntryKind.REFUND, EntryKind.CHARGEBACK})
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_MOST_URL = 1024
# What a recharge came to, and what that is told as. Success is told of the funding, too: whichever line comes first.
_STEPS: Mapping[str, NoticeKind] = {
    RechargeState.COOLING: NoticeKind.RECHARGE_SUCCEEDED,
    RechargeState.DECLINED: NoticeKind.RECHARGE_FAILED,
    RechargeState.STOPPED: NoticeKind.RECHARGE_FAILED,
    RechargeState.NEEDS_REVIEW: NoticeKind.RECHARGE_FAILED,
    RechargeState.ACTION_REQUIRED: NoticeKind.RECHARGE_ACTION_REQUIRED,
    RechargeState.CAPPED: NoticeKind.RECHARGE_CAP_REACHED,
}


def details_of(line: Entry) -> dict[str, Any]:
    """What a line says beside its numbers."""
    if not line.details:
        return {}
    return dict(msgpack.unpackb(line.details, unicode_errors="replace", strict_map_key=False))


def charge_of(line: Entry) -> str:
    """The charge that a step of a recharge is about; "" for none, and for any other line."""
    return line.reference if line.kind is EntryKind.RECHARGE else ""


def told_by(line: Entry, charges: Collection[str], settled_micros: int) -> list[Notice]:
    """What a line alone tells. `charges` are the charges that recharges began, `settled_micros` is the
    balance after the line.
    """
    if line.kind is EntryKind.RECHARGE:
        return _recharge(line)
    if line.kind is EntryKind.FUND and line.reference in charges:
        return [_succeeded(line, line.reference, line.settled_delta_micros)]
    if line.kind is EntryKind.LIMIT:
        return [_notice(line, NoticeKind.SPEND_LIMIT, {"payer_id": line.reference})]
    if line.kind in _TAKEN_BACK:
        return [_taken_back(line, settled_micros)]
    return []


def _recharge(line: Entry) -> list[Notice]:
    said = details_of(line)
    state = str(said.get("state", ""))
    kind = _STEPS.get(state)  # a newer talktime may know others
    # What names no charge is a change of the rule, or of a pause; only a cap is reached without one.
    if kind is None or not (line.reference or kind is NoticeKind.RECHARGE_CAP_REACHED):
        return []
    amount = int(said.get("amount", 0))
    if kind is NoticeKind.RECHARGE_SUCCEEDED:
        return [_succeeded(line, line.reference, amount)]
    common: Parameters = {"charge_id": line.reference, "amount_micros": amount}
    return [_notice(line, kind, dict(common) | _more(kind, said))]


def _more(kind: NoticeKind, said: dict[str, Any]) -> dict[str, str]:
    if kind is NoticeKind.RECHARGE_FAILED:
        return {"state": str(said["state"]), "code": safe_code(str(said.get("code", "")))}
    if kind is NoticeKind.RECHARGE_ACTION_REQUIRED:
        return {"url": safe_link(str(said.get("url", "")))}
    return {}


def _succeeded(line: Entry, charge_id: str, amount_micros: int) -> Notice:
    """The same notice whichever line of a charge comes first."""
    return Notice(
        line.tenant_id,
        NoticeKind.RECHARGE_SUCCEEDED,
        charge_id,
        line.entered_ms,
        {"charge_id": charge_id, "amount_micros": amount_micros},
        str(line.version),
    )


def _taken_back(line: Entry, settled_micros: int) -> Notice:
    said = details_of(line)
    parameters: Parameters = {
        "amount_micros": -line.settled_delta_micros,
        "balance_micros": settled_micros,
        "funding_id": str(said.get("funding", "")),
        "reason": str(said.get("reason", said.get("note", ""))),
        "chargeback": line.kind is EntryKind.CHARGEBACK,
    }
    return _notice(line, NoticeKind.FUNDS_TAKEN_BACK, parameters)


def _notice(line: Entry, kind: NoticeKind, parameters: Parameters) -> Notice:
    version = str(line.version)
    return Notice(line.tenant_id, kind, version, line.entered_ms, parameters, version)


def safe_code(word: str) -> str:
    """A provider's word for a decline, if it is one word."""
    return word if _CODE.fullmatch(word) else ""


def safe_link(url: str) -> str:
    """A link that may stand in a mail: https, and nothing that looks like something else."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    plain = url.isascii() and url.isprintable() and " " not in url and len(url) <= _MOST_URL
    good = parts.scheme == "https" and parts.hostname and "@" not in parts.netloc
    return url if plain and good else ""
