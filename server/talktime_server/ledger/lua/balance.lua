-- Shows tenants' money, with the money of expired holds and expired credits moved where it belongs.
--
-- A script, because what is read must be of one moment.
--
-- KEYS, for each operation: tenant, account, open, journal, recharges
-- ARGV, for each operation: tenant_id
-- Returns, for each operation: "new" with settled, held, loaded, spent, expired, refunded, uncollected, abandoned, version, expiry (ms),
--   the number of open calls, what went to the invoice and what is held for it, what was spent today and this month (UTC), now (ms), and the
--   lots, oldest first, each with id, what is left, expiry (ms), amount, and when it was funded (ms);
--   "due" with call ids (expire these and ask again); "no_tenant".

local function balance(tenant_key, account, open, journal, recharges, tenant_id)
  local tenant = read_tenant(tenant_key, account, tenant_id, journal, recharges)
  if not tenant.profile then
    return { "no_tenant" }
  end
  local expired = due_calls(open, tenant.now)
  if #expired > 0 then
    return { "due", unpack(expired) }
  end

  -- After this point it must succeed.
  lapse(tenant)
  local names = { "loaded", "expired", "refunded", "uncollected", "abandoned" }
  local sums = redis.call("HMGET", tenant.key, unpack(names))
  for i, name in ipairs(names) do
    sums[i] = tonumber(sums[i] or "0") + (tenant.sums[name] or 0)
  end
  local rows = {}
  for _, lot in ipairs(lots_of(tenant)) do
    if lot.left > 0 then
      rows[#rows + 1] = { lot.id, lot.left, lot.expiry, lot.amount, lot.at }
    end
  end
  return { "new", tenant.settled, tenant.held, sums[1], tenant.spent, sums[2], sums[3], sums[4], sums[5], tenant.version, tenant.lot,
    redis.call("ZCARD", open), tenant.invoiced, tenant.owed, tenant.use.day_spent, tenant.use.month_spent, tenant.now, rows }
end

return each(5, 1, balance)
