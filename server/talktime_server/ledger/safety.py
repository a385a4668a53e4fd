"""Whether a store may be trusted with money: asked before the first call is served."""

from dataclasses import dataclass

from talktime_server.failure import Failure
from talktime_server.ledger.store import Store

OLDEST = (6, 2)


@dataclass(frozen=True, slots=True)
class Finding:
    """One setting of the store; `fatal` when serving would lose money."""

    setting: str
    text: str
    fatal: bool


async def inspect(store: Store) -> list[Finding]:
    """What is wrong with the store's settings; nothing when all is well. Raises StoreAway when it
    cannot be asked.
    """
    server = await _facts(store, "server")
    memory = await _facts(store, "memory")
    persistence = await _facts(store, "persistence")
    findings = [
        _version(server.get("redis_version", "0.0")),
        _eviction(memory.get("maxmemory_policy", "")),
        _aof(persistence.get("aof_enabled", "0")),
        await _fsync(store),
    ]
    return [finding for finding in findings if finding]


async def _facts(store: Store, section: str) -> dict[str, str]:
    answer = await store.command("INFO", section)
    if isinstance(answer, dict):
        return {str(name): str(value) for name, value in answer.items()}
    lines = bytes(answer).decode().splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def _version(text: str) -> Finding | None:
    major, minor = (int(part) for part in [*text.split("."), "0"][:2])
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


async def _fsync(store: Store) -> Finding | None:
    try:
        answer = await store.command("CONFIG", "GET", "appendfsync")
    except Failure:
        return None  # managed stores hide CONFIG; INFO has told what matters most
    pairs = (
        answer if isinstance(answer, dict) else dict(zip(answer[::2], answer[1::2], strict=True))
    )
    if "no" not in (str(value) for value in pairs.values()) and b"no" not in pairs.values():
        return None
    return Finding(
        "appendfsync",
        "appendfsync is no: a power cut may lose minutes of movements; set it to everysec or always",
        False,
    )
