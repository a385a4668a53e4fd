-- Shows tenants' money, with the money of expired holds and expired credits moved where it belongs.
--
-- A script, because what is read must be of one moment.
--
-- KEYS, for each operation: tenant, open, journal
-- ARGV, for each operation: tenant_id
-- Returns, for each operation: "new" with settled, held, loaded, spent, expired, refunded, uncollected, abandoned, version, expiry (ms),
--   the number of open calls, what went to the invoice and what is held for it, and what was spent today and this month (UTC);
--   "due" with call ids (expire these and ask again); "no_tenant".

local function balance(tenant_key, open, journal, tenant_id)
  local tenant = read_tenant(tenant_key)
  if not tenant.profile then
    return { "no_tenant" }
  end
  local expired = due_calls(open, tenant.now)
  if #expired > 0 then
    return { "due", unpack(expired) }
  end

  -- After this point it must succeed.
  lapse(tenant, journal, tenant_id)
  local names = { "loaded", "expired", "refunded", "uncollected", "abandoned" }
  local sums = redis.call("HMGET", tenant.key, unpack(names))
  for i, name in ipairs(names) do
    sums[i] = tonumber(sums[i] or "0") + (tenant.sums[name] or 0)
  end
  return { "new", tenant.settled, tenant.held, sums[1], tenant.spent, sums[2], sums[3], sums[4], sums[5], tenant.version, tenant.lot,
    redis.call("ZCARD", open), tenant.invoiced, tenant.owed, tenant.use.day_spent, tenant.use.month_spent }
end

return each(3, 1, balance)
