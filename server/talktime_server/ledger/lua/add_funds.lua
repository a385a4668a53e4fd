-- Adds credits to tenants, once per id: what was bought, or what an adjustment gives. Each is a lot of its own.
--
-- A script, because the receipt and the money must be one step, or a repeat adds twice.
--
-- KEYS, for each operation: tenant, account, funding, journal, recharges
-- ARGV, for each operation: id; tenant_id; FUND or ADJUST; amount (micros); life of the credits (days); purchase order or reason (text)
-- Returns, for each operation: "replay" or "new" with settled, held and expiry (ms); "mismatch" with the field's name;
--   "limit"; "no_tenant"; "error" with what was wrong.

local FIELDS = { "amount_micros", "expire_days", "note" }

-- The first field in which a repeat differs from what was done: the kind is part of the id.
local function differing(receipt, asked)
  for n, name in ipairs(FIELDS) do
    if receipt[n + 1] ~= asked[n] then
      return name
    end
  end
end

local function add_funds(tenant_key, account, funding, journal, recharges, funding_id, tenant_id, kind, amount, days, note)
  local receipt = book.receipts[funding] or redis.call("HMGET", funding, "kind", "amount", "days", "note", "settled", "held", "expiry")
  if receipt[2] then
    -- A receipt of before there were other kinds is that of a funding without a note.
    receipt[1], receipt[4] = receipt[1] or "FUND", receipt[4] or ""
    local field = receipt[1] ~= kind and "kind" or differing(receipt, { amount, days, note })
    return field and { "mismatch", field } or { "replay", receipt[5], receipt[6], receipt[7] }
  end
  local micros, life_days = whole(amount, 1, MOST_AT_ONCE), whole(days, 1, 3650)
  local tenant = read_tenant(tenant_key, account, tenant_id, journal, recharges)
  if not tenant.profile then
    return { "no_tenant" }
  end
  lapse(tenant)
  local loaded = tonumber(redis.call("HGET", tenant.key, "loaded") or "0") + (tenant.sums.loaded or 0) + micros
  if tenant.settled + micros > MOST or loaded > MOST then
    return { "limit" }
  end

  -- After this point it must succeed.
  local expiry = tenant.now + life_days * DAY_MS
  local lots = add_lot(tenant, funding_id, micros, expiry)
  add_up(tenant, "loaded", micros)
  local line = enter(tenant, kind, funding_id, micros, 0, 0)
  keep_lots(tenant, lots_of(tenant))
  detail(line, { days = life_days, expiry = expiry, at = tenant.now, note = note, settled = tenant.settled, held = tenant.held,
    lots = lots_text(tenant, lots) })
  book.receipts[funding] = { kind, amount, days, note, tenant.settled, tenant.held, expiry }
  book.lines[#book.lines + 1] = { "HSET", funding, "kind", kind, "amount", amount, "days", days, "note", note, "settled", tenant.settled,
    "held", tenant.held, "expiry", expiry }
  return { "new", tenant.settled, tenant.held, expiry }
end

return each(5, 6, add_funds)
