-- Ends holds whose lease is over: gives them back, or charges the talk time that the last Extend proved where the tenant wants that.
--
-- A script, because a settle may come at the same moment: whichever runs first ends the hold, the other sees it ended.
--
-- KEYS: tenant, account, payer, call, open, due, busy, journal, meters, recharges
-- ARGV, packed: call_id; tenant_id; whether proven talk time is charged; life of the receipt (seconds)
-- Returns "new" with the call; "gone" (ended already, or its lease was pushed out); "error" with what was wrong.

local function expire(names, given)
  local tenant_key, account, _, call_key, open, due, busy, journal, meters, recharges = unpack(names)
  local call_id, tenant_id, charge_proven, ttl = unpack(given)
  within(ttl, 1, 1e9)
  local tenant, call = read_tenant(tenant_key, account, tenant_id, journal, recharges), read_call(call_key)
  if not call or call.state ~= "OPEN" or tenant.now <= call.lease then
    sweep(tenant, open, due, not (call and call.state == "OPEN") and call_id or nil)
    return { "gone" }
  end
  local use, budget = payer_use(busy, call.payer, tenant), budget_of(meters, call, tenant)
  local free = is_free(call)
  local proven = charge_proven and not free and call.proven or 0
  local drawn, talk = draw(meters, call, proven, false)
  local cost, billed = price(call.terms, proven - talk, talk > 0 and 0 or call.terms[FEE])
  local held, owed, paid, invoiced = call.held, call.owed or 0, charged_before(call)
  local charge, by_invoice = 0, 0
  if proven > 0 then -- what it was charged before counts, and goes back where it was too much
    charge = math.min(cost, paid + held) - paid
    by_invoice = math.min(cost - paid - charge, invoiced + owed) - invoiced
  end

  -- After this point it must succeed.
  local moved
  if proven > 0 then
    moved = move_pools(meters, call, drawn, true, tenant)
  else
    if call.done then -- what an orphan was charged before stays charged, and told
      say_splits(call)
    end
    moved = give_back(meters, call, tenant)
  end
  hold(tenant, use, budget, call, 0, 0)
  spend(tenant, use, budget, charge + by_invoice, call.done)
  tenant.spent = tenant.spent + charge
  local line = enter(tenant, "EXPIRE", call_id, 0 - charge, 0 - held, proven, moved, by_invoice, 0 - owed)
  close(call_id, open, use)
  sweep(tenant, open, due)
  call.state = "EXPIRED"
  add_up(tenant, "abandoned", 1)
  lapse(tenant)
  billed = billed + minutes_charged(call)
  call.done = { proven, billed, paid + charge, 0, 0, 0, 0, tenant.settled, tenant.held, tenant.now, held - charge, 0, invoiced + by_invoice }
  if proven > 0 then -- else what it was charged before stays as it was told
    call.done_split = split_of(call, drawn, talk, proven - talk, paid + charge, invoiced + by_invoice, paid + charge)
  end
  return write_call(call_key, call, ttl, line)
end

operations.expire = { keys = 10, judge = expire }
