-- Adds credits to tenants, once per funding.
--
-- A script, because the receipt and the money must be one step, or a repeat adds twice.
--
-- KEYS, for each operation: tenant, funding, journal
-- ARGV, for each operation: funding_id; tenant_id; amount (micros); life of the credits (days)
-- Returns, for each operation: "replay" or "new" with settled, held and expiry (ms); "mismatch" with the field's name;
--   "limit"; "no_tenant"; "error" with what was wrong.

local function add_funds(tenant_key, funding, journal, funding_id, tenant_id, amount, days)
  local receipt = book.receipts[funding] or redis.call("HMGET", funding, "amount", "days", "settled", "held", "expiry")
  if receipt[1] then
    if receipt[1] ~= amount or receipt[2] ~= days then
      return { "mismatch", receipt[1] ~= amount and "amount_micros" or "expire_days" }
    end
    return { "replay", receipt[3], receipt[4], receipt[5] }
  end
  local micros, life_days = whole(amount, 1, MOST_AT_ONCE), whole(days, 1, 3650)
  local tenant = read_tenant(tenant_key)
  if not tenant.profile then
    return { "no_tenant" }
  end
  lapse(tenant, journal, tenant_id)
  local loaded = tonumber(redis.call("HGET", tenant.key, "loaded") or "0") + (tenant.sums.loaded or 0) + micros
  if tenant.settled + micros > MOST or loaded > MOST then
    return { "limit" }
  end

  -- After this point it must succeed.
  local expiry = tenant.now + life_days * DAY_MS
  tenant.lot = math.max(expiry, tenant.lot)
  add_up(tenant, "loaded", micros)
  enter(tenant, journal, tenant_id, "FUND", funding_id, micros, 0, 0)
  book.receipts[funding] = { amount, days, tenant.settled, tenant.held, expiry }
  book.lines[#book.lines + 1] = { "HSET", funding, "amount", amount, "days", days, "settled", tenant.settled, "held", tenant.held,
    "expiry", expiry }
  return { "new", tenant.settled, tenant.held, expiry }
end

return each(3, 4, add_funds)
