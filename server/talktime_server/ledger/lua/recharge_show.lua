-- Shows where tenants' recharges are, and the money that they are about.
--
-- A script, because claim, row and money must be of one moment.
--
-- KEYS, for each operation: tenant, account, recharge
-- ARGV, for each operation: tenant_id
-- Returns, for each operation: "new" with now (ms), settled, held, the number of claims taken, and the row (names and values; none when
--   there never was a rule); "no_tenant".

local function recharge_show(tenant_key, account, key, tenant_id)
  local tenant = read_tenant(tenant_key, account, tenant_id)
  if not tenant.profile then
    return { "no_tenant" }
  end
  local claims = redis.call("HGET", tenant.key, "re") or "0"
  return { "new", tenant.now, tenant.settled, tenant.held, claims, redis.call("HGETALL", key) }
end

return each(3, 1, recharge_show)
