-- Takes credits back from tenants, once per id: a refund or a chargeback of a funding, or what an adjustment takes.
--
-- A script, because the receipt and the money must be one step, or a repeat takes twice; and refunds of one funding are added up in it.
--
-- KEYS, for each operation: tenant, account, receipt, funding (the receipt again for an adjustment), journal, recharges
-- ARGV, for each operation: id; tenant_id; REFUND, CHARGEBACK or ADJUST; amount (micros; below zero for an adjustment); funding_id (empty
--   for an adjustment); reason
-- Returns, for each operation: "replay" or "new" with settled, held and all that was taken back of the funding; "mismatch" with the
--   field's name; "unknown" (no such funding); "over" with what may still be taken back of it; "limit"; "no_tenant"; "error" with what was
--   wrong.

local FIELDS = { "amount_micros", "funding_id", "reason" }

local function differing(receipt, asked)
  for n, name in ipairs(FIELDS) do
    if receipt[n + 1] ~= asked[n] then
      return name
    end
  end
end

-- What is left of the funding's own lot goes first, then the oldest money of all (semantics 62).
local function take_from(lots, funding_id, micros)
  for _, lot in ipairs(lots) do
    if lot.id == funding_id then
      local taken = math.min(lot.left, micros)
      lot.left, lots.left = lot.left - taken, lots.left - taken
    end
  end
end

-- What came in by an id, and what was taken back of it; nothing for an id by which something went.
local function taken_of(funding)
  local bought = book.taken and book.taken[funding]
  if not bought then
    local stored = redis.call("HMGET", funding, "amount", "refunded", "kind")
    local amount, kind = tonumber(stored[1] or "0"), stored[3]
    bought = amount > 0 and kind ~= "REFUND" and kind ~= "CHARGEBACK" and { amount = amount, refunded = tonumber(stored[2] or "0") }
    book.taken = book.taken or {}
    book.taken[funding] = bought
  end
  return bought
end

local function take_funds(tenant_key, account, key, funding, journal, recharges, taking_id, tenant_id, kind, amount, funding_id, reason)
  local receipt = book.receipts[key] or redis.call("HMGET", key, "kind", "amount", "funding", "note", "settled", "held", "total")
  if receipt[2] then
    local field = receipt[1] ~= kind and "kind" or differing(receipt, { amount, funding_id, reason })
    return field and { "mismatch", field } or { "replay", receipt[5], receipt[6], receipt[7] }
  end
  local micros = kind == "ADJUST" and 0 - whole(amount, -MOST_AT_ONCE, -1) or whole(amount, 1, MOST_AT_ONCE)
  local tenant = read_tenant(tenant_key, account, tenant_id, journal, recharges)
  if not tenant.profile then
    return { "no_tenant" }
  end
  local bought, total = kind ~= "ADJUST" and taken_of(funding), 0
  if kind ~= "ADJUST" then
    if not bought then
      return { "unknown" }
    end
    total = bought.refunded + micros
    if total > bought.amount then
      return { "over", bought.amount - bought.refunded }
    end
  end
  lapse(tenant)
  if tenant.settled - micros < -MOST then
    return { "limit" }
  end

  -- After this point it must succeed.
  local lots = lots_of(tenant)
  take_from(lots, funding_id, micros)
  add_up(tenant, kind == "ADJUST" and "loaded" or "refunded", kind == "ADJUST" and 0 - micros or micros)
  local line = enter(tenant, kind, taking_id, 0 - micros, 0, 0)
  keep_lots(tenant, lots_of(tenant))
  detail(line, { funding = funding_id, note = reason, total = total, settled = tenant.settled, held = tenant.held, lots = lots_text(tenant, lots) })
  if bought then
    bought.refunded = total
    book.lines[#book.lines + 1] = { "HSET", funding, "refunded", total }
  end
  book.receipts[key] = { kind, amount, funding_id, reason, tenant.settled, tenant.held, total }
  book.lines[#book.lines + 1] = { "HSET", key, "kind", kind, "amount", amount, "funding", funding_id, "note", reason, "settled",
    tenant.settled, "held", tenant.held, "total", total }
  return { "new", tenant.settled, tenant.held, total }
end

return each(6, 6, take_funds)
