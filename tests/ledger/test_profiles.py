"""Profiles as stored: written whole, each with a version that decisions are compared by."""

import asyncio
from dataclasses import replace

import pytest

from ledger.world import World
from talktime_server.decision.catalog import counted_licenses
from talktime_server.failure import Conflict, NotFound
from talktime_server.ledger import directory as profile_cache
from talktime_server.ledger import keys
from talktime_server.ledger.directory import Directory
from talktime_server.ledger.profiles import Payer, Tenant, payer_of, tenant_of, to_json


def elsewhere(world: World) -> Directory:
    """Another process, with a cache of its own."""
    return Directory(world.store, counted_licenses)


async def test_a_written_tenant_is_read_again_with_the_next_version(world: World) -> None:
    await world.set(display_name="Contoso", floor_micros=-5)
    fresh = await elsewhere(world).tenant(world.tenant.tenant_id)
    assert fresh == world.tenant
    assert (fresh.display_name, fresh.floor_micros, fresh.version) == ("Contoso", -5, 2)


async def test_writing_the_same_again_changes_no_version(world: World) -> None:
    """Or every repeat would send running calls back to be judged."""
    epoch = await world.epoch()
    await world.set(display_name=world.tenant.display_name)
    await world.directory.put_payer(world.tenant.tenant_id, Payer("ann", "US"))
    assert world.tenant.version == 1
    assert await world.epoch() == epoch


async def test_the_currency_is_fixed_once_made(world: World) -> None:
    """Semantics 42."""
    with pytest.raises(Conflict) as caught:
        await world.set(currency="EUR")
    assert caught.value.reason == "CURRENCY_FIXED"
    assert (await world.directory.fresh_tenant(world.tenant.tenant_id)).currency == "USD"


async def test_settings_written_during_a_suspension_do_not_end_it(world: World) -> None:
    """Semantics 66."""
    await world.directory.suspend(world.tenant.tenant_id, cut_running_calls=True)
    await world.set(display_name="Contoso")
    assert (world.tenant.suspended, world.tenant.cut_running_calls) == (True, True)
    resumed = await world.directory.resume(world.tenant.tenant_id)
    assert (resumed.suspended, resumed.cut_running_calls) == (False, False)
    assert resumed.display_name == "Contoso"


async def test_payers_who_are_alike_are_kept_once(world: World) -> None:
    """So that a process can keep many; who they are is in the store for whoever asks."""
    owner, directory = world.tenant.tenant_id, elsewhere(world)
    for name in ("dee", "eve", "fay"):
        licenses = ("MCOPSTN1",) if name != "fay" else ()
        await world.directory.put_payer(owner, Payer(name, "US", f"I am {name}", licenses))
    dee, eve, fay = [await directory.profiles(owner, name) for name in ("dee", "eve", "fay")]
    assert dee is eve
    assert dee.payer == Payer("", "US", licenses=("MCOPSTN1",), version=1)
    assert fay.payer == Payer("", "US", version=1)
    assert dee.named("dee").payer == Payer("dee", "US", licenses=("MCOPSTN1",), version=1)
    assert (await directory.payer(owner, "eve")).display_name == "I am eve"


async def test_what_is_cached_of_a_payer_follows_its_tenant(world: World) -> None:
    owner, directory = world.tenant.tenant_id, elsewhere(world)
    before = await directory.profiles(owner, "ann")
    assert await directory.fresh(owner, "ben") is before
    await world.set(max_open_calls=3)
    await directory.fresh_tenant(owner)
    after = directory.cached(owner, "ann")
    assert after
    assert (after.tenant, after.limits[:1], before.limits) == (world.tenant, "3", "")
    assert directory.cached(owner, "ann") is after


async def test_kinds_of_payers_are_not_kept_without_bound(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profile_cache, "MOST_KINDS", 2)
    monkeypatch.setattr(profile_cache, "MOST_CACHED", 2)
    owner, directory = world.tenant.tenant_id, elsewhere(world)
    names = [f"limited-{n}" for n in range(7)]
    for n, name in enumerate(names):
        await world.directory.put_payer(owner, Payer(name, "US", max_open_calls=n + 1))
        assert (await directory.profiles(owner, name)).limits.split()[5] == str(n + 1)
    at_hand = [directory.cached(owner, name) for name in names]
    kept = [each.payer.max_open_calls for each in at_hand if each and each.payer]
    assert kept in ([5, 6, 7], [4, 5, 6, 7])


async def test_licences_are_swapped_in_one_step(world: World) -> None:
    owner = world.tenant.tenant_id
    await world.directory.assign_licenses(owner, "ann", add=("A", "B"), remove=())
    swapped = await world.directory.assign_licenses(owner, "ann", add=("C", "A"), remove=("B",))
    assert swapped.licenses == ("A", "C")
    assert (await elsewhere(world).payer(owner, "ann")) == swapped


async def test_licences_assigned_at_the_same_moment_are_all_there(world: World) -> None:
    """Two administrators, each with a process and a cache of their own: none writes over the other."""
    owner = world.tenant.tenant_id
    await asyncio.gather(
        *(
            elsewhere(world).assign_licenses(owner, "ann", add=(f"SKU{n}",), remove=())
            for n in range(10)
        )
    )
    payer = await elsewhere(world).payer(owner, "ann")
    assert sorted(payer.licenses) == [f"SKU{n}" for n in range(10)]
    assert payer.version == 11


async def test_nobody_has_no_payers(world: World) -> None:
    nobody = f"{world.tenant.tenant_id}-not"
    with pytest.raises(NotFound) as caught:
        await world.directory.put_payer(nobody, Payer("ann", "US"))
    assert caught.value.reason == "UNKNOWN_TENANT"
    with pytest.raises(NotFound) as caught:
        await world.directory.payer(world.tenant.tenant_id, "nobody")
    assert caught.value.reason == "UNKNOWN_PAYER"
    with pytest.raises(NotFound):
        await world.directory.suspend(nobody, cut_running_calls=False)


async def test_a_cached_profile_is_old_until_somebody_asks_for_a_fresh_one(world: World) -> None:
    """Semantics 87: the script finds out, not the cache."""
    owner, other = world.tenant.tenant_id, elsewhere(world)
    assert other.cached(owner, "ann") is None
    before = await other.profiles(owner, "ann")
    await world.directory.block_payer(owner, "ann", "lost phone")
    assert await other.profiles(owner, "ann") == before
    after = await other.fresh(owner, "ann")
    assert after.payer is not None
    assert after.payer.blocked
    assert other.cached(owner, "ann") == after


async def test_payers_are_listed_by_id_page_by_page(world: World) -> None:
    owner = world.tenant.tenant_id
    for name in ("cid", "dot"):
        await world.directory.put_payer(owner, Payer(name, "US"))
    first = await world.directory.list_payers(owner, "", 3)
    assert [payer.payer_id for payer in first] == ["ann", "ben", "cid"]
    assert [p.payer_id for p in await world.directory.list_payers(owner, "cid", 3)] == ["dot"]


async def test_tenants_are_listed_by_id_over_all_shards(world: World) -> None:
    mine = [f"zz{world.tenant.tenant_id}-{n}" for n in range(5)]
    for name in mine:
        await world.directory.put_tenant(world.tenant_like(name))
    assert len({keys.shard_of(name) for name in mine}) > 1
    listed = await world.directory.list_tenants(f"zz{world.tenant.tenant_id}", 3)
    assert [tenant.tenant_id for tenant in listed] == mine[:3]
    named = await world.directory.named_tenants([*mine[3:], "nobody"], mine[3], 9)
    assert [tenant.tenant_id for tenant in named] == mine[4:]


def test_records_survive_their_text() -> None:
    tenant = Tenant("t", "USD", "US", "Größe", floor_micros=-(10**12), charge_orphans=True)
    payer = Payer("p", "US", licenses=("A", "B"), blocked=True, block_reason="why")
    assert tenant_of(to_json(tenant), 7) == replace(tenant, version=7)
    assert payer_of(to_json(payer), 7) == replace(payer, version=7)


def test_a_record_of_another_version_is_read_as_far_as_it_is_known() -> None:
    """Semantics 91: fields unknown here are left, fields missing there have their default."""
    text = '{"payer_id": "p", "country": "US", "licenses": [], "shoe_size": 43}'
    assert payer_of(text, 1) == Payer("p", "US", version=1)


def test_lists_of_a_record_are_read_however_deep() -> None:
    """And equal ones of many payers are one."""
    tenant = Tenant("t", "USD", "US", bought_licenses=(("MCOMEETADV", 3), ("MCOPSTN1", 2)))
    assert tenant_of(to_json(tenant), 0) == tenant
    ann, ben = (Payer(name, "US", licenses=("MCOPSTN1", "MCOPSTNC")) for name in ("ann", "ben"))
    assert payer_of(to_json(ann), 0).licenses is payer_of(to_json(ben), 0).licenses
