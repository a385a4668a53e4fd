"""Rows of the bad-input matrix about who asks, how long they wait, and what stands around a request."""

from collections.abc import Callable, Iterable

import grpc

from service import http2
from service.bad_rows import ANY, AUTHORIZE, EXHAUSTED, MISSING, REFUSED, Row, Scene
from service.raw import AUTHORIZATION, OK, Metadata, Reply, bearer
from service.running import LONE
from service.site import LONDON
from service.test_identity import request_of
from talktime.v1 import account_service_pb2 as accounts
from talktime.v1 import authorization_service_pb2 as pb

QUOTE = AUTHORIZATION + "Quote"
EMPTY_MESSAGE_BYTES = 5  # some send one with a refusal
NOT_ANSWERED = Reply(grpc.StatusCode.ABORTED)


def callers() -> Iterable[Row]:
    """Every row about a caller."""
    yield from _credentials()
    yield from _metadata()
    yield from _deadlines()


def _credentials() -> Iterable[Row]:
    def with_header(id: str, *headers: str, reason: str = "UNAUTHENTICATED") -> Row:
        metadata = tuple(("authorization", header) for header in headers)
        return Row(
            id,
            lambda s: s.raw.ask(request_of(s.site), metadata=metadata),
            "UNAUTHENTICATED",
            reason,
            hidden=tuple(header for header in headers if len(header) > 8),
        )

    def with_token(id: str, name: str) -> Row:
        def ask(scene: Scene) -> Reply:
            token = getattr(scene.site.service, name)
            return scene.raw.ask(request_of(scene.site), metadata=bearer(token))

        return Row(id, ask, "UNAUTHENTICATED", "UNAUTHENTICATED")

    unsigned = "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9."
    yield with_header("B57 none")
    yield with_header("B57 another scheme", "Basic YWRtaW46YWRtaW4=")
    yield with_header("B57 a token that is none", "Bearer no-token-of-ours")
    yield with_header("B57 a token nobody has", "Bearer tt_000000000000_" + "A" * 43)
    yield with_header("B57 alg=none", unsigned)
    yield with_token("B57 expired", "expired")
    yield with_token("B57 not valid yet", "early")
    yield Row("B57 a wrong secret", _wrong_secret, "UNAUTHENTICATED", "UNAUTHENTICATED")
    yield Row("B59 an auditor authorizes", _as("auditor"), "PERMISSION_DENIED", "ROLE_FORBIDDEN")
    yield Row("B59 an admin authorizes", _as("lone_admin"), "PERMISSION_DENIED", "ROLE_FORBIDDEN")
    yield Row("B59 a router adds funds", _router_funds, "PERMISSION_DENIED", "ROLE_FORBIDDEN")
    yield Row("B50 another's tenant", _as("lone_router"), "PERMISSION_DENIED", "TENANT_MISMATCH")
    yield Row("B50 nobody's tenant", _lone_asks, MISSING, "UNKNOWN_TENANT")


def _as(name: str) -> Callable[[Scene], Reply]:
    def ask(scene: Scene) -> Reply:
        token = getattr(scene.site.service, name)
        return scene.raw.ask(request_of(scene.site), metadata=bearer(token))

    return ask


def _lone_asks(scene: Scene) -> Reply:
    """Its own tenant, which nobody has made, left out: it is meant all the same."""
    assert scene.site.tenant_id != LONE
    shown = bearer(scene.site.service.lone_router)
    return scene.raw.ask(request_of(scene.site, tenant_id=""), metadata=shown)


def _router_funds(scene: Scene) -> Reply:
    request = accounts.AddFundsRequest(
        tenant_id=scene.site.tenant_id, funding_id="gift", amount_micros=1
    )
    return scene.raw.ask(request)


def _wrong_secret(scene: Scene) -> Reply:
    token = scene.site.service.router
    altered = token[:-1] + ("A" if token[-1] != "A" else "B")
    return scene.raw.ask(request_of(scene.site), metadata=bearer(altered))


def _metadata() -> Iterable[Row]:
    def with_more(id: str, *more: tuple[str, str]) -> Row:
        def ask(scene: Scene) -> Reply:
            metadata: Metadata = (*bearer(scene.site.service.router), *more)
            return scene.raw.ask(request_of(scene.site), metadata=metadata)

        return Row(id, ask, EXHAUSTED, "METADATA_TOO_LARGE", library=True)

    yield with_more("B61 9 KiB", ("x-much", "x" * 9 * 1024))
    yield with_more("B62 1,000 entries", *((f"x-{n}", "x") for n in range(1000)))
    yield with_more("B62 65 entries", *((f"x-{n}", "x") for n in range(65)))
    yield Row("B58 two credentials", _two_credentials, "UNAUTHENTICATED", "AMBIGUOUS_CREDENTIALS")
    yield Row(
        "B66 no such method",
        lambda s: s.raw.send(AUTHORIZATION + "Give", b""),
        "UNIMPLEMENTED",
        "UNKNOWN_METHOD",
    )
    yield Row(
        "B66 no such service",
        lambda s: s.raw.send("/no.Service/Give", b""),
        "UNIMPLEMENTED",
        "UNKNOWN_METHOD",
    )
    reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
    yield Row(
        "B66 reflection", lambda s: s.raw.send(reflection, b""), "UNIMPLEMENTED", "UNKNOWN_METHOD"
    )
    secret = b"authorization"
    for what, char in (("CR", b"\r"), ("LF", b"\n"), ("NUL", b"\0")):
        yield _by_hand(f"B63 {what} in the credentials", (secret, b"Bearer " + char))
    yield _with_credentials("B64 bad base64", b"x-more-bin", b"!?*")
    yield _with_credentials("B64 an upper-case key", b"X-Upper", b"1")
    yield _with_credentials("B64 a space in a key", b"x space", b"1")


def _two_credentials(scene: Scene) -> Reply:
    both = (*bearer(scene.site.service.router), *bearer(scene.site.service.operator))
    return scene.raw.ask(request_of(scene.site), metadata=both)


def _by_hand(id: str, *headers: tuple[bytes, bytes]) -> Row:
    """Headers in bytes; refused, reset or cut off, as the library likes."""

    def ask(scene: Scene) -> Reply:
        return _post(scene, AUTHORIZE, headers, request_of(scene.site).SerializeToString())

    return Row(id, ask, REFUSED)


def _with_credentials(id: str, name: bytes, value: bytes) -> Row:
    """A bad header beside good credentials."""

    def ask(scene: Scene) -> Reply:
        return _post(scene, QUOTE, (_shown(scene), (name, value)), _quote_of(scene))

    return Row(id, ask, ANY)


def _post(scene: Scene, path: str, headers: http2.Headers, body: bytes) -> Reply:
    answer = http2.post(scene.site.service.address, path, headers, body)
    return Reply(OK, body=answer) if len(answer) > EMPTY_MESSAGE_BYTES else NOT_ANSWERED


def _shown(scene: Scene) -> tuple[bytes, bytes]:
    return b"authorization", b"Bearer " + scene.site.service.router.encode()


def _deadlines() -> Iterable[Row]:
    def with_timeout(id: str, text: bytes, code: str) -> Row:
        return Row(id, lambda s: _quote_by_hand(s, text), code)

    yield Row("B65 no deadline", lambda s: s.raw.send(QUOTE, _quote_of(s), timeout_s=None), "OK")
    yield Row("B65 an hour", lambda s: s.raw.send(QUOTE, _quote_of(s), timeout_s=3600), "OK")
    yield with_timeout("B65 0n", b"0n", REFUSED)
    for text in (b"-1S", b"soon", b"1x"):
        yield with_timeout(f"B65 {text.decode()}", text, ANY)
    yield with_timeout("B65 99999999H", b"99999999H", "OK")


def _quote_by_hand(scene: Scene, timeout: bytes) -> Reply:
    return _post(scene, QUOTE, (_shown(scene), (b"grpc-timeout", timeout)), _quote_of(scene))


def _quote_of(scene: Scene) -> bytes:
    return pb.QuoteRequest(
        tenant_id=scene.site.tenant_id,
        payer_id="alice",
        call_type=pb.CALL_TYPE_USER_OUT,
        to_number=LONDON,
    ).SerializeToString()
