"""Keys: what a script touches is in one slot, and nobody's ids reach into somebody else's."""

import pytest

from talktime_server.ledger import keys

TENANT_KEYS = (
    keys.tenant("contoso"),
    keys.account("contoso"),
    keys.old_tenant("contoso"),
    keys.payer("contoso", "ann"),
    keys.call("contoso", "c1"),
    keys.open_calls("contoso"),
    keys.busy("contoso"),
    keys.unmatched("contoso", "c1"),
    keys.funding("contoso", "f1"),
    keys.payers("contoso"),
)


def test_all_keys_of_a_tenant_share_its_shards_tag() -> None:
    shard = keys.shard_of("contoso")
    shards = (keys.journal(shard), keys.due(shard), keys.tenants(shard))
    assert {name[3:8] for name in (*TENANT_KEYS, *shards)} == {f"{{s{shard:02}}}"}


@pytest.mark.parametrize("shard", range(keys.SHARDS))
def test_a_tag_is_read_from_a_key_as_it_was_written(shard: int) -> None:
    name = keys.journal(shard)
    assert keys.tag_of(name) == keys.tag_of(name.encode()) == keys.tag(shard)
    assert keys.shard_in(keys.tag(shard)) == shard


@pytest.mark.parametrize("text", ["", "tt:", "EX", "{s00}", "s00", b"\xff\xff\xff", "tt:x"])
def test_what_is_no_key_has_no_tag(text: str | bytes) -> None:
    assert keys.tag_of(text) == ""


def test_no_two_keys_are_the_same() -> None:
    assert len(set(TENANT_KEYS)) == len(TENANT_KEYS)


@pytest.mark.parametrize(("tenant_id", "shard"), [("contoso", 15), ("a", 3), ("tenant-1", 63)])
def test_a_tenants_shard_is_the_same_for_ever(tenant_id: str, shard: int) -> None:
    """Another number would lose its money."""
    assert keys.shard_of(tenant_id) == shard


def test_tenants_are_spread_over_all_shards() -> None:
    assert {keys.shard_of(f"tenant{n}") for n in range(1000)} == set(range(keys.SHARDS))
