"""The bad-input matrix for tenants and payers: each field out of its range, one at a time."""

from collections.abc import Iterable
from itertools import chain
from typing import Any

from service.bad_rows import EXHAUSTED, INVALID, MISSING, Row, Scene
from service.raw import ACCOUNT, Reply, bearer
from talktime.v1 import account_service_pb2 as pb

MILLION, MOST_SPEND, MOST_RATE = 10**6, 10**15, 10**9
HUGE = 2**63 - 1
# Field and the most it may be; each may be 0 and not below.
TENANT_LIMITS = {
    "max_calls_per_second": MILLION,
    "max_calls_per_second_per_payer": MILLION,
    "max_spend_per_day_micros": MOST_SPEND,
    "max_spend_per_month_micros": MOST_SPEND,
    "max_spend_per_day_per_payer_micros": MOST_SPEND,
    "max_spend_per_month_per_payer_micros": MOST_SPEND,
    "costly_rate_per_minute_micros": MOST_RATE,
    "max_costly_calls_per_day": MILLION,
    "max_costly_calls_per_day_per_payer": MILLION,
    "max_unassigned_calls_per_minute": MILLION,
}
PAYER_LIMITS = {
    "max_rate_per_minute_micros": MOST_RATE,
    "max_open_calls": MILLION,
    "max_calls_per_second": MILLION,
    "max_spend_per_day_micros": MOST_SPEND,
    "max_spend_per_month_micros": MOST_SPEND,
    "max_costly_calls_per_day": MILLION,
}
# What was meant, the prefix.
BAD_PREFIXES = {
    "nothing": "",
    "a plus": "+44",
    "a trunk zero": "0207",
    "16 digits": "4" * 16,
    "a letter": "44x",
    "a space": "44 20",
    "a newline": "44\n",
    "Arabic-Indic digits": "٤٤",
}


def rows() -> Iterable[Row]:
    """Every row about accounts."""
    yield from _limits()
    yield from _lists()
    yield from _words()
    yield from _blocks()
    yield from _sizes()


def _tenant(id: str, rule: str, **fields: Any) -> Row:
    def ask(scene: Scene) -> Reply:
        tenant = pb.Tenant(
            tenant_id=scene.site.tenant_id, currency_code="EUR", country="US", **fields
        )
        return named(scene.operate(pb.PutTenantRequest(tenant=tenant)), "tenant", fields)

    return Row(f"{id} of a tenant", ask, INVALID, rule, hidden=_texts(fields))


def _payer(id: str, rule: str, **fields: Any) -> Row:
    payer = pb.Payer(**({"payer_id": "bob", "country": "US"} | fields))

    def one(scene: Scene) -> Reply:
        request = pb.PutPayerRequest(tenant_id=scene.site.tenant_id, payer=payer)
        many = pb.PutPayersRequest(tenant_id=scene.site.tenant_id, payers=[payer])
        assert named(scene.operate(many), "payers[0]", fields).reason == rule
        return named(scene.operate(request), "payer", fields)

    return Row(f"{id} of a payer", one, INVALID, rule, hidden=_texts(fields))


def _texts(fields: dict[str, Any]) -> tuple[str, ...]:
    """What was sent and must not be in the answer: texts that cannot be in it by chance."""
    items = [value if isinstance(value, list) else [value] for value in fields.values()]
    texts = (item for item in chain.from_iterable(items) if isinstance(item, str))
    return tuple(text for text in texts if len(text) > 3)


def named(reply: Reply, where: str, fields: dict[str, Any]) -> Reply:
    """The reply, which must blame the one field that was changed, or an item of it."""
    (field,) = fields
    (blamed,) = reply.fields
    assert blamed.startswith(f"{where}.{field}"), (blamed, field)
    return reply


def _limits() -> Iterable[Row]:
    for make, limits in ((_tenant, TENANT_LIMITS), (_payer, PAYER_LIMITS)):
        for field, most in limits.items():
            yield make(f"B33 {field} below nothing", "OUT_OF_RANGE", **{field: -1})
            for value in (most + 1, HUGE):
                yield make(f"B34 {field} {value}", "OUT_OF_RANGE", **{field: value})


def _lists() -> Iterable[Row]:
    for make in (_tenant, _payer):
        for field in ("blocked_prefixes", "allowed_prefixes"):
            for what, prefix in BAD_PREFIXES.items():
                yield make(f"B25 {what} in {field}", "BAD_PREFIX", **{field: [prefix]})
            yield make(f"B12 101 {field}", "TOO_MANY_ITEMS", **{field: ["44"] * 101})
    for sku, count, rule in (
        ("MCOMEETADV", 0, "OUT_OF_RANGE"),
        ("MCOMEETADV", -1, "OUT_OF_RANGE"),
        ("MCOMEETADV", 10**7 + 1, "OUT_OF_RANGE"),
        ("MCOPSTN99", 1, "UNKNOWN_LICENSE"),
        ("", 1, "UNKNOWN_LICENSE"),
    ):
        bought = [pb.BoughtLicense(sku=sku, count=count)]
        yield _tenant(f"B34 {count} {sku!r} bought", rule, bought_licenses=bought)
    twice = [pb.BoughtLicense(sku="MCOMEETADV", count=1)] * 2
    yield _tenant("B12 a licence bought twice", "DUPLICATE", bought_licenses=twice)


def _words() -> Iterable[Row]:
    for make in (_tenant, _payer):
        for policy in ("DialoutToTheMoon", "dialoutcpcandpstndomestic", "x" * 300):
            yield make(f"B9 policy {policy[:20]!r}", "UNKNOWN_POLICY", dial_out_policy=policy)
    yield _tenant("B9 an unknown billing mode", "UNKNOWN_ENUM", billing_mode=99)
    for number in ("020 7946 0018", "112", "+44", "tel:+442079460018"):
        yield _payer(f"B24 {number} as its own number", "NOT_E164", phone_number=number)
    yield _payer("B53 a licence of no catalogue", "UNKNOWN_LICENSE", licenses=["MCOPSTN99"])
    yield _payer("the credits licence alone", "CREDITS_LICENSE_ALONE", licenses=["MCOPSTNC"])


def _blocks() -> Iterable[Row]:
    def block(id: str, rule: str, code: str = INVALID, **fields: str) -> Row:
        asked = {"payer_id": "alice", "reason": "why"} | fields
        return Row(
            f"{id}, to block",
            lambda s: s.operate(pb.BlockPayerRequest(tenant_id=s.site.tenant_id, **asked)),
            code,
            rule,
            hidden=_texts(fields),
        )

    yield block("B4 no reason", "MISSING_FIELD", reason="")
    yield block("B12 257 characters of reason", "TOO_LONG", reason="x" * 257)
    yield block("B21 ESC in a reason", "BAD_CHARSET", reason="no\x1b[2Jway")
    yield block("B4 no payer", "MISSING_FIELD", payer_id="")
    yield block("B52 a hash tag", "BAD_CHARSET", payer_id="{s00}")
    yield block("B51 nobody", "UNKNOWN_PAYER", MISSING, payer_id="nobody")


def _sizes() -> Iterable[Row]:
    def sent(id: str, kind: str, kib: int, *, library: bool = False) -> Row:
        def ask(scene: Scene) -> Reply:
            body = b"\xda\x07" + varint(kib * 1024) + b"x" * kib * 1024
            return scene.raw.send(
                ACCOUNT + kind, body, metadata=bearer(scene.site.service.operator)
            )

        return Row(f"B13 {id}", ask, EXHAUSTED, "MESSAGE_TOO_LARGE", library=library)

    yield sent("257 KiB of one payer", "PutPayer", 257)
    yield sent("1025 KiB of payers", "PutPayers", 1025, library=True)


def varint(number: int) -> bytes:
    """A number as the wire has it."""
    if number < 128:
        return bytes([number])
    return bytes([number % 128 + 128]) + varint(number // 128)
