-- Writes the profiles of tenants and payers, whole, and counts their versions and the licences that size pools.
--
-- A script, because a decision compares these versions: text and version must change in one step, and the counts with them.
--
-- KEYS, for each operation: profile, tenant, account, index, meters, blocks, journal
-- ARGV, for each operation: tenant_id; payer_id (empty: the tenant itself); text; version it must have now (0: none yet); currency
--   (tenants; else empty); counts of licences that it adds to (names, with a space between them); line for the record of blocks (an array
--   in JSON of names and values; empty when there is none)
-- Returns, for each operation: "new" or "same" with the version; "changed" with the version it has; "no_tenant"; "currency";
--   "error" with what was wrong.

local MOST_BLOCKS = 10000 -- lines kept of a tenant's record of blocks, or a few more

local function add_to_count(meters, name, delta)
  redis.call("HINCRBY", meters, "n:" .. name, delta)
end

-- Takes back what the profile was counted as when it was last written, so that the counts stay exact whatever the catalogue says now.
local function count(profile, meters, before, after)
  for name in string.gmatch(before, "%S+") do
    add_to_count(meters, name, -1)
  end
  for name in string.gmatch(after, "%S+") do
    add_to_count(meters, name, 1)
  end
  redis.call("HSET", profile, "n", after)
end

-- The archive needs each profile once as it is now, and whenever it changes: `j` says that it has this one.
local function tell_archive(tenant, payer_id, profile, version, body, counts, block)
  detail(enter(tenant, "PROFILE", payer_id, 0, 0, 0), { version = version, body = body, counts = counts, epoch = tenant.epoch, block = block })
  redis.call("HSET", profile, "j", 1)
end

local function put_profile(profile, tenant_key, account, index, meters, blocks, journal, tenant_id, payer_id, body, expected, currency, counts, block)
  local stored = redis.call("HMGET", profile, "pv", "p", "cur", "n", "j")
  local version, counted = tonumber(stored[1] or "0"), stored[4] or ""
  if expected ~= (stored[1] or "0") then
    return { "changed", version }
  elseif currency ~= "" and stored[3] and stored[3] ~= currency then
    return { "currency" }
  end
  local tenant = read_tenant(tenant_key, account, tenant_id, journal)
  if currency == "" and not tenant.profile then
    return { "no_tenant" }
  end
  local same = stored[2] == body and counted == counts
  if same and stored[5] then
    return { "same", version }
  end
  local line = block ~= "" and cjson.decode(block)

  -- After this point it must succeed.
  if same then
    tell_archive(tenant, payer_id, profile, version, body, counts, "")
    return { "same", version }
  end
  redis.call("HSET", profile, "pv", version + 1, "p", body)
  if currency ~= "" then
    redis.call("HSET", profile, "cur", currency)
  end
  if counted ~= counts then
    count(profile, meters, counted, counts)
  end
  if line then
    redis.call("XADD", blocks, "MAXLEN", "~", MOST_BLOCKS, "*", "at", tenant.now, unpack(line))
  end
  tenant.epoch = tenant.epoch + 1 -- open calls are judged again before they are extended
  if payer_id == "" then
    tenant.profile = version + 1
  end
  redis.call("ZADD", index, 0, payer_id == "" and tenant_id or payer_id)
  tell_archive(tenant, payer_id, profile, version + 1, body, counts, block)
  return { "new", version + 1 }
end

return each(7, 7, put_profile)
