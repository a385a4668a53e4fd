"""How a client's connection is made: options stated one by one, because gRPC's defaults were not made for call
routing."""

import asyncio
import re
from dataclasses import dataclass, field
from typing import Any

import grpc

from talktime.ask import Ask, Defaults
from talktime.retry import Attempts, RetryBudget, RetrySettings

Metadata = tuple[tuple[str, str | bytes], ...]

# The largest request there is: many payers at once.
MAX_SENT_BYTES = 1024 * 1024
MAX_RECEIVED_BYTES = 4 * 1024 * 1024

OPTIONS: tuple[tuple[str, Any], ...] = (
    # retry.py is the one layer that retries, and it knows what may be repeated.
    ("grpc.enable_retries", 0),
    ("grpc.service_config_disable_resolution", 1),
    # With gRPC's own back-off, seconds to minutes, calls still fail long after a restart. With these, one
    # second after a restart no call failed.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    # Not a back-off, in spite of its name: how long an attempt to connect may take, with TLS over a long
    # way to a busy machine too. One that takes longer is given up, and the next is no faster.
    ("grpc.min_reconnect_backoff_ms", 5_000),
    # A peer that vanished without a word is found within 30 s, also between calls.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_send_message_length", MAX_SENT_BYTES),
    ("grpc.max_receive_message_length", MAX_RECEIVED_BYTES),
    # A connection and its back-off belong to one client, not to whoever in the process asks the same address.
    ("grpc.use_local_subchannel_pool", 1),
    # A proxy that some environment variable names has no place between a router and its decision.
    ("grpc.enable_http_proxy", 0),
)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a client was told once: whom to ask, as whom, and how often; its streams keep to the same terms and
    budget."""

    target: str
    secured: grpc.ChannelCredentials | None
    metadata: Metadata = field(repr=False)
    defaults: Defaults
    retry: RetrySettings
    budget: RetryBudget

    def attempts(self, ask: Ask[Any]) -> Attempts:
        """The attempts of one operation."""
        return Attempts(self.retry, self.budget, ask)


_TOKEN = re.compile(r"[\x21-\x7e]{1,4096}")


def bearer(token: str) -> Metadata:
    """The metadata that says who asks; ValueError for a token that no header can carry."""
    if not _TOKEN.fullmatch(token):
        raise ValueError("token: 1 to 4096 visible ASCII characters, without spaces")
    return (("authorization", f"Bearer {token}"),)


def transport(
    ca: bytes | None, credentials: grpc.ChannelCredentials | None
) -> grpc.ChannelCredentials | None:
    """What secures the connection; None for plain text, as to a proxy on the same machine."""
    if ca is None:
        return credentials
    if credentials is not None:
        raise ValueError("ca, credentials: give one of them")
    return grpc.ssl_channel_credentials(ca)


def open_blocking(terms: Terms) -> grpc.Channel:
    """A channel for threads."""
    if terms.secured is None:
        return grpc.insecure_channel(terms.target, OPTIONS)
    return grpc.secure_channel(terms.target, terms.secured, OPTIONS)


def open_asynchronous(terms: Terms) -> grpc.aio.Channel:
    """A channel for the running event loop."""
    if terms.secured is None:
        return grpc.aio.insecure_channel(terms.target, OPTIONS)
    return grpc.aio.secure_channel(terms.target, terms.secured, OPTIONS)


def asked_to_stop() -> bool:
    """Whether somebody cancelled the running task; gRPC raises CancelledError also when a channel closes below
    a call."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
