"""Every key of the store, built here and nowhere else.

The slot rule: a key carries the hash tag of its tenant's shard, `{s00}` to `{s63}`, so that all
keys a script touches are in one slot and a cluster can spread the shards. Ids cannot contain ":" or
braces, so no two keys collide and no id can forge a tag.
"""

from functools import lru_cache
from zlib import crc32

SHARDS = 64


def shard_of(tenant_id: str) -> int:
    """The shard of a tenant: stable for ever, 0 to 63."""
    return crc32(tenant_id.encode()) % SHARDS


def tag(shard: int) -> str:
    """What puts keys into one slot of a cluster."""
    return f"{{s{shard:02}}}"


def tag_of(name: str | bytes) -> str:
    """The tag of a key; empty for what is no key."""
    start = name[:8].decode(errors="replace") if isinstance(name, bytes) else name[:8]
    return start[3:] if start.startswith("tt:{s") else ""


def shard_in(tag: str) -> int:
    """The shard of a tag."""
    return int(tag[2:4])


@lru_cache(maxsize=10_000)
def _tag(tenant_id: str) -> str:
    return f"tt:{{s{shard_of(tenant_id):02}}}:"


@lru_cache(maxsize=10_000)
def _of_calls(tenant_id: str) -> tuple[str, str, str, str, tuple[str, ...]]:
    shard, first = shard_of(tenant_id), (tenant(tenant_id), account(tenant_id))
    shared = journal(shard), meters(tenant_id), recharges(shard)
    more = open_calls(tenant_id), due(shard), busy(tenant_id), *shared
    return *first, payer(tenant_id, ""), call(tenant_id, ""), more


def of_call(tenant_id: str, payer_id: str, call_id: str) -> tuple[str, ...]:
    """The keys of an operation on a call, in the order of calls.lua."""
    own, own_account, payers, calls, more = _of_calls(tenant_id)
    return (own, own_account, payers + payer_id, calls + call_id, *more)


def tenant(tenant_id: str) -> str:
    """Hash: the tenant's profile, its lots, and sums that no decision reads."""
    return f"{_tag(tenant_id)}tn:{tenant_id}"


def account(tenant_id: str) -> str:
    """String: the tenant's money, version and clock, packed (account.py)."""
    return f"{_tag(tenant_id)}a:{tenant_id}"


def old_tenant(tenant_id: str) -> str:
    """Hash: what data versions before 4 kept of a tenant, all of it."""
    return f"{_tag(tenant_id)}t:{tenant_id}"


def payer(tenant_id: str, payer_id: str) -> str:
    """Hash: a payer's profile."""
    return f"{_tag(tenant_id)}p:{tenant_id}:{payer_id}"


def call(tenant_id: str, call_id: str) -> str:
    """String: a call, packed. Open calls have no TTL; ended ones are receipts."""
    return f"{_tag(tenant_id)}c:{tenant_id}:{call_id}"


def open_calls(tenant_id: str) -> str:
    """Sorted set: the tenant's open calls by the end of their lease, in ms."""
    return f"{_tag(tenant_id)}o:{tenant_id}"


def busy(tenant_id: str) -> str:
    """Hash: for each payer, its open calls, what they hold, and what it spent today and this month."""
    return f"{_tag(tenant_id)}b:{tenant_id}"


def meters(tenant_id: str) -> str:
    """Hash: for each pool and month, and each conference with a budget, what is used and held; and
    the licences assigned, which size the pools.
    """
    return f"{_tag(tenant_id)}m:{tenant_id}"


def blocks(tenant_id: str) -> str:
    """Stream: which payers were blocked and unblocked."""
    return f"{_tag(tenant_id)}bl:{tenant_id}"


def unmatched(tenant_id: str, call_id: str) -> str:
    """String: a settle that nobody could place."""
    return f"{_tag(tenant_id)}u:{tenant_id}:{call_id}"


def funding(tenant_id: str, funding_id: str) -> str:
    """Hash: the receipt of a funding, kept for ever."""
    return f"{_tag(tenant_id)}f:{tenant_id}:{funding_id}"


def recharge(tenant_id: str) -> str:
    """Hash: the tenant's recharge rule, and where its recharge is."""
    return f"{_tag(tenant_id)}r:{tenant_id}"


def payers(tenant_id: str) -> str:
    """Sorted set: the tenant's payers, by id."""
    return f"{_tag(tenant_id)}pi:{tenant_id}"


def journal(shard: int) -> str:
    """Stream: the entries of a shard's tenants."""
    return f"tt:{{s{shard:02}}}:j"


def due(shard: int) -> str:
    """Sorted set: the shard's tenants with open calls, by their earliest lease or earlier, in ms."""
    return f"tt:{{s{shard:02}}}:due"


def recharges(shard: int) -> str:
    """Sorted set: the shard's tenants by when their recharge is to be looked at, in ms."""
    return f"tt:{{s{shard:02}}}:rc"


def tenants(shard: int) -> str:
    """Sorted set: the shard's tenants, by id."""
    return f"tt:{{s{shard:02}}}:ti"


def deck(deck_version: str) -> str:
    """Hash: the parts of a rate deck, packed."""
    return f"tt:{{s00}}:d:{deck_version}"


def decks() -> str:
    """Hash: what is stored of each deck."""
    return "tt:{s00}:decks"


def active_decks() -> str:
    """Hash: for each scope of prices, which deck is in force from when on."""
    return "tt:{s00}:active"


def deck_changes() -> str:
    """Sorted set: the scopes of prices by the revision of their last change."""
    return "tt:{s00}:changes"


def shadow_counts(deck_version: str) -> str:
    """Hash: what a shadow deck would have changed, a field for each pair of destinations."""
    return f"tt:{{s00}}:sc:{deck_version}"


def shadow_mark(process_id: str) -> str:
    """String: the last count of a process that was added."""
    return f"tt:{{s00}}:sm:{process_id}"


def secret() -> str:
    """String: the key that signs page tokens."""
    return "tt:{s00}:secret"


def archive() -> str:
    """String: the id of the archive that this store's journal goes to."""
    return "tt:{s00}:archive"


def stored_version() -> str:
    """String: the version of what is stored; absent in an empty store, and in one that version 1 wrote."""
    return "tt:{s00}:data_version"


def upgrade_mark() -> str:
    """String: the tenant and the payer up to whom an upgrade has come."""
    return "tt:{s00}:upgrade_mark"


def lease() -> str:
    """String: which back office of several works now; it goes by itself when that one is gone."""
    return "tt:{s00}:lease"


def probe(shard: int = 0) -> str:
    """String: written to see whether the store can be written."""
    return f"tt:{tag(shard)}:probe"
