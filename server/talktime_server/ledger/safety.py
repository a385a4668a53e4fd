"""Whether a store may be trusted with money: asked before the first call is served."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from talktime_server.failure import Failure
from talktime_server.ledger.store import Store
from talktime_server.ledger.store_url import Kind

OLDEST = (6, 2)


@dataclass(frozen=True, slots=True)
class Finding:
    """One setting of the store; `fatal` when serving would lose money."""

    setting: str
    text: str
    fatal: bool


async def inspect(store: Store) -> list[Finding]:
    """What is wrong with the store's settings, of any of its primaries; nothing when all is well.
    Raises StoreAway when one cannot be asked.
    """
    found = [
        *_all(_version, await _facts(store, "server"), "redis_version"),
        *_all(_eviction, await _facts(store, "memory"), "maxmemory_policy"),
        *_all(_aof, await _facts(store, "persistence"), "aof_enabled"),
        *await _configured(store, "appendfsync", _fsync),
    ]
    if store.apart:
        found += await _configured(store, "cluster-require-full-coverage", _coverage)
    else:
        found += _all(_apart, await _facts(store, "cluster"), "cluster_enabled")
    if store.kind is Kind.SENTINEL:
        found += await _configured(store, "min-replicas-to-write", _replicas)
    return list(dict.fromkeys(found))  # primaries that are alike are told of once


Judge = Callable[[str], Finding | None]


def _all(judge: Judge, servers: Sequence[Mapping[str, str]], fact: str) -> list[Finding]:
    judged = (judge(each.get(fact, "")) for each in servers)
    return [finding for finding in judged if finding]


async def _facts(store: Store, section: str) -> list[dict[str, str]]:
    return [_read(answer) for answer in await store.everywhere("INFO", section)]


def _read(answer: Any) -> dict[str, str]:
    if isinstance(answer, dict):
        return {str(name): str(value) for name, value in answer.items()}
    lines = bytes(answer).decode().splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


async def _configured(store: Store, name: str, judge: Judge) -> list[Finding]:
    try:
        answers = await store.everywhere("CONFIG", "GET", name)
    except Failure:
        return []  # managed stores hide CONFIG; INFO has told what matters most
    return _all(judge, [{name: _value(answer)} for answer in answers], name)


def _value(answer: Any) -> str:
    values = list(answer.values()) if isinstance(answer, dict) else answer[1::2]
    value = values[0] if values else ""
    return value.decode() if isinstance(value, bytes) else str(value)


def _version(text: str) -> Finding | None:
    major, minor = (int(part) for part in [*(text or "0").split("."), "0"][:2])
    if (major, minor) >= OLDEST:
        return None
    return Finding("redis_version", f"the store is version {text}; 6.2 or newer is needed", True)


def _eviction(policy: str) -> Finding | None:
    if policy == "noeviction":
        return None
    return Finding(
        "maxmemory-policy",
        f"maxmemory-policy is {policy or 'not known'}: a full store would throw balances away; set it to noeviction",
        True,
    )


def _aof(enabled: str) -> Finding | None:
    if enabled == "1":
        return None
    return Finding(
        "appendonly",
        "appendonly is off: a restart of the store loses every movement since its last snapshot; set appendonly yes",
        False,
    )


def _fsync(value: str) -> Finding | None:
    if value != "no":
        return None
    return Finding(
        "appendfsync",
        "appendfsync is no: a power cut may lose minutes of movements; set it to everysec or always",
        False,
    )


def _coverage(value: str) -> Finding | None:
    if value != "yes":
        return None
    return Finding(
        "cluster-require-full-coverage",
        "cluster-require-full-coverage is yes: one primary that is away stops the calls of all tenants; set it to no",
        False,
    )


def _replicas(value: str) -> Finding | None:
    if value != "0":
        return None
    return Finding(
        "min-replicas-to-write",
        "min-replicas-to-write is 0: a primary that was replaced, and does not know it yet, takes movements "
        "that are lost; set it to 1",
        False,
    )


def _apart(enabled: str) -> Finding | None:
    if enabled != "1":
        return None
    return Finding(
        "cluster_enabled",
        "the store is one server of a cluster; name the cluster, with redis+cluster://",
        True,
    )
