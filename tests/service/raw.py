"""gRPC calls in bytes, for what a client of ours would never send, and for answers byte for byte."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from talktime.v1 import account_service_pb2, authorization_service_pb2, status_pb2

AUTHORIZATION = "/talktime.v1.AuthorizationService/"
ACCOUNT = "/talktime.v1.AccountService/"
TYPES = "type.googleapis.com/google.rpc."
TIMEOUT_S = 5.0
OK = grpc.StatusCode.OK

M = TypeVar("M", bound=Message)
Metadata = tuple[tuple[str, str | bytes], ...]
_SERVICES = (
    authorization_service_pb2.DESCRIPTOR.services_by_name["AuthorizationService"],
    account_service_pb2.DESCRIPTOR.services_by_name["AccountService"],
)


@dataclass(frozen=True)
class Reply:
    """What came back: bytes, or a status and what its details say."""

    code: grpc.StatusCode
    message: str = ""
    body: bytes = b""
    details: bytes = field(default=b"", repr=False)
    reason: str = ""
    facts: dict[str, str] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict)
    """The rule of each violation, by field."""
    said: str = ""
    """Every text for people in it."""

    def answer(self, kind: type[M]) -> M:
        """The answer of a call that succeeded."""
        assert self.code is OK, (self.code, self.reason, self.message)
        return kind.FromString(self.body)


def path_of(request: Message) -> str:
    """The method that takes this request."""
    name = request.DESCRIPTOR.name.removesuffix("Request")
    service = next(s for s in _SERVICES if name in s.methods_by_name)
    return f"/{service.full_name}/{name}"


def bearer(token: str) -> Metadata:
    """The metadata that says who asks."""
    return (("authorization", f"Bearer {token}"),)


class Raw:
    """A channel that sends bytes as they are."""

    def __init__(self, address: str, token: str) -> None:
        options = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))
        self._channel = grpc.insecure_channel(address, options)
        self._token = token

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()

    def ask(self, request: Message, **how: Any) -> Reply:
        """Sends a request to its method."""
        return self.send(path_of(request), request.SerializeToString(), **how)

    def send(
        self,
        path: str,
        body: bytes,
        *,
        metadata: Metadata | None = None,
        timeout_s: float | None = TIMEOUT_S,
    ) -> Reply:
        """Sends bytes to any path."""
        return self.begin(path, body, metadata=metadata, timeout_s=timeout_s)()

    def begin(
        self,
        path: str,
        body: bytes,
        *,
        metadata: Metadata | None = None,
        timeout_s: float | None = TIMEOUT_S,
    ) -> "Pending":
        """Sends bytes and does not wait; calling what it gives waits for the reply."""
        shown = bearer(self._token) if metadata is None else metadata
        method: Any = self._channel.unary_unary(path)
        return Pending(method.future(body, timeout=timeout_s, metadata=shown))


class Pending:
    """A call under way."""

    def __init__(self, future: Any) -> None:
        self._future = future

    def __call__(self) -> Reply:
        """Waits for the reply."""
        try:
            return Reply(OK, body=self._future.result())
        except grpc.RpcError:
            return _failed(self._future)


def _failed(call: Any) -> Reply:
    details = _details_of(call.trailing_metadata() or ())
    status = status_pb2.Status.FromString(details)
    packed = {any_.type_url.removeprefix(TYPES): any_.value for any_ in status.details}
    cause = status_pb2.ErrorInfo.FromString(packed.get("ErrorInfo", b""))
    blamed = status_pb2.BadRequest.FromString(packed.get("BadRequest", b""))
    fields = {violation.field: violation.reason for violation in blamed.field_violations}
    return Reply(
        call.code(),
        call.details() or "",
        details=details,
        reason=cause.reason,
        facts=dict(cause.metadata),
        fields=fields,
        said=" ".join([call.details() or "", *cause.metadata.values(), *described(blamed)]),
    )


def described(blamed: status_pb2.BadRequest) -> Iterable[str]:
    """The sentences of its violations."""
    return (violation.description for violation in blamed.field_violations)


def _details_of(metadata: Iterable[tuple[str, str | bytes]]) -> bytes:
    for key, value in metadata:
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            return value
    return b""
