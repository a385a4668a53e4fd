"""What is asked, as bytes: everything that never changes is written once, and an id is put in for each call.

A field may stand anywhere in a message, so the id follows what never changes.
"""

import json
import secrets
import struct
from dataclasses import dataclass
from enum import StrEnum

from talktime.v1 import authorization_service_pb2 as pb

SERVICE = "/talktime.v1.AuthorizationService"
EXCHANGE = f"{SERVICE}/Exchange"
FROM_NUMBER = "+14255550100"
ID_DIGITS = 12
ID_BYTES = 24

_CALL_ID = b"\x12" + bytes([ID_BYTES])
# Correlation ids of three bytes each, so that lengths stay what they are.
FIRST_MARK = 1 << 14
MARKS = 1 << 14


class Kind(StrEnum):
    """What an operation asks. `refuse` is an authorize that must be refused."""

    AUTHORIZE = "authorize"
    EXTEND = "extend"
    SETTLE = "settle"
    REFUSE = "refuse"


# The RPC of a kind, and its tag among a stream's operations.
RPC = {
    Kind.AUTHORIZE: "Authorize",
    Kind.REFUSE: "Authorize",
    Kind.EXTEND: "Extend",
    Kind.SETTLE: "Settle",
}
_TAGS = {Kind.AUTHORIZE: b"\x12", Kind.REFUSE: b"\x12", Kind.EXTEND: b"\x1a", Kind.SETTLE: b"\x22"}


@dataclass(frozen=True, slots=True)
class Terms:
    """What every call of a load has in common."""

    to_number: str
    requested_seconds: int = 600
    duration_seconds: int = 60
    additional_seconds: int = 60


@dataclass(frozen=True, slots=True)
class Template:
    """The bytes of one kind of operation for one payer: a request is `fixed` and the id; an operation of a stream is
    `head`, the mark, `body` and the id."""

    fixed: bytes
    head: bytes
    body: bytes
    payer_id: str
    json_fields: bytes
    """The request as JSON, open at its end."""

    def request(self, call_id: bytes) -> bytes:
        """The body of a unary call."""
        return self.fixed + call_id

    def request_json(self, call_id: bytes) -> bytes:
        """The same as JSON, as a router without gRPC writes it."""
        return b'%s, "call_id": "%s"}' % (self.json_fields, call_id)


def template(kind: Kind, tenant_id: str, payer_id: str, terms: Terms) -> Template:
    """The template of a kind of operation."""
    fields = _fields(kind, tenant_id, payer_id, terms)
    request: dict[str, type] = {
        "Authorize": pb.AuthorizeRequest,
        "Extend": pb.ExtendRequest,
        "Settle": pb.SettleRequest,
    }
    message = request[RPC[kind]](**fields)
    fixed = message.SerializeToString() + _CALL_ID
    body = _TAGS[kind] + _varint(len(fixed) + ID_BYTES) + fixed
    head = b"\x0a" + _varint(len(body) + ID_BYTES + 4) + b"\x08"
    return Template(fixed, head, body, payer_id, _as_json(fields))


def body_of(tenant_id: str, payer_id: str, to_number: str) -> bytes:
    """The body of one unary Authorize, framed as gRPC wants it."""
    message = template(Kind.AUTHORIZE, tenant_id, payer_id, Terms(to_number)).request(
        secrets.token_hex(ID_BYTES // 2).encode()
    )
    return struct.pack(">BI", 0, len(message)) + message


def marks() -> list[bytes]:
    """The correlation ids as they are written."""
    return [
        bytes((number & 0x7F | 0x80, number >> 7 & 0x7F | 0x80, number >> 14))
        for number in range(FIRST_MARK, FIRST_MARK + MARKS)
    ]


def _fields(kind: Kind, tenant_id: str, payer_id: str, terms: Terms) -> dict[str, object]:
    if kind is Kind.SETTLE:
        return {"tenant_id": tenant_id, "duration_seconds": terms.duration_seconds}
    if kind is Kind.EXTEND:
        more = terms.additional_seconds
        return {"tenant_id": tenant_id, "sequence": 1, "additional_seconds": more}
    return {
        "tenant_id": tenant_id,
        "payer_id": payer_id,
        "call_type": pb.CALL_TYPE_USER_OUT,
        "from_number": FROM_NUMBER,
        "to_number": terms.to_number,
        "requested_seconds": terms.requested_seconds,
    }


def _as_json(fields: dict[str, object]) -> bytes:
    """Names as in the contract; whole numbers of 64 bits are texts in JSON, and choices their names."""
    named = {**fields}
    if "call_type" in named:
        named["call_type"] = pb.CallType.Name(pb.CALL_TYPE_USER_OUT)
    return json.dumps({name: str(value) for name, value in named.items()}).encode()[:-1]


def _varint(number: int) -> bytes:
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)
