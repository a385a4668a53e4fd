-- Gives the holds of calls back whole: they were never answered, or never placed.
--
-- A script, because the end of the hold and its receipt must be one step, or a repeat gives money back twice.
--
-- KEYS: tenant, account, payer, call, open, due, busy, journal, meters, recharges
-- ARGV, packed: call_id; tenant_id; life of the receipt (seconds)
-- Returns "replay" or "new" with the call; "unknown"; "ended" with the call (settled or refused); "error" with what was wrong.

local function release(names, given)
  local tenant_key, account, _, call_key, open, _, busy, journal, meters, recharges = unpack(names)
  local call_id, tenant_id, ttl = unpack(given)
  local call, stored = read_call(call_key)
  if not call then
    return { "unknown" }
  elseif call.state == "RELEASED" or call.state == "EXPIRED" then
    return { "replay", stored }
  elseif call.state ~= "OPEN" then
    return { "ended", stored }
  end
  within(ttl, 1, 1e9)
  local tenant = read_tenant(tenant_key, account, tenant_id, journal, recharges)
  local use, budget = payer_use(busy, call.payer, tenant), budget_of(meters, call, tenant)
  local held, owed, paid, invoiced = call.held, call.owed or 0, charged_before(call)

  -- After this point it must succeed.
  local moved = give_back(meters, call, tenant)
  hold(tenant, use, budget, call, 0, 0)
  local line = enter(tenant, "RELEASE", call_id, 0, 0 - held, 0, moved, 0, 0 - owed)
  close(call_id, open, use)
  call.state = "RELEASED"
  lapse(tenant)
  if call.done then -- what an orphan was charged before stays charged, and told
    say_splits(call)
  end
  call.done = { 0, 0, paid, 0, 0, 0, 0, tenant.settled, tenant.held, tenant.now, held, 0, invoiced }
  return write_call(call_key, call, ttl, line)
end

operations.release = { keys = 10, judge = release }
