-- Charges what calls really used and gives the rest of their holds back, once.
--
-- A script, because the charge, the end of the hold and the receipt must be one step, or a repeat charges twice.
--
-- KEYS, for each operation: tenant, call, open, busy, journal, unmatched, payer
-- ARGV, for each operation: call_id; tenant_id; tenant's profile version; duration (seconds); floor of the balance (micros, 0 or
--   less); life of the receipt (seconds); and for a call that was never authorized, else empty: facts, payer_id, the payer's profile
--   version (0: no such payer), source, rate and fee (micros), initial and increment (seconds)
-- Returns, for each operation: "replay" or "new" with the call's view; "unmatched" (no such call, and no fields to charge it by);
--   "differs" with the view (settled before with another duration); "ended" with the view; "stale"; "due" with call ids;
--   "no_tenant"; "error" with what was wrong.

-- A settle that nobody can place is kept once, so that an operator finds it.
local function keep_unmatched(tenant, unmatched, journal, call_id, tenant_id, duration, ttl)
  if redis.call("SET", unmatched, duration, "NX", "EX", ttl) then
    enter(tenant, journal, tenant_id, "UNMATCHED", call_id, 0, 0, duration)
  end
  return { "unmatched" }
end

local function settle(tenant_key, call_key, open, busy, journal, unmatched, payer_key, call_id, tenant_id, tenant_profile, duration, floor,
    ttl, facts, payer_id, payer_profile, source, rate, fee, initial, increment)
  duration, floor, ttl = whole(duration, 0, MOST_SECONDS), whole(floor, -MOST_AT_ONCE, 0), whole(ttl, 1, 1e9)
  local call = read_call(call_key)
  if call and call.state == "SETTLED" then
    return view(call.done[1] == duration and "replay" or "differs", call)
  elseif call and (call.state == "RELEASED" or call.state == "REFUSED") then
    return view("ended", call)
  end
  local tenant = read_tenant(tenant_key)
  if not tenant.profile then
    return { "no_tenant" }
  elseif not call and facts == "" and tenant.profile == tenant_profile then
    return keep_unmatched(tenant, unmatched, journal, call_id, tenant_id, duration, ttl)
  elseif tenant.profile ~= tenant_profile or (not call and payer_profile ~= (redis.call("HGET", payer_key, "pv") or "0")) then
    return { "stale" }
  end
  local unreserved = not call
  if unreserved then
    call = { state = "NEW", facts = facts, payer = payer_id, source = source, terms = read_terms(rate, fee, initial, increment), held = 0,
      granted = 0, lease = 0 }
  end
  local cost, billed = price(call.terms, duration)
  cost = call.source == "CREDITS" and cost or 0
  -- What an orphan was charged counts; what the hold does not cover comes from free credits of today, then down to the floor.
  local paid, own = call.done and call.done[3] or 0, call.held
  local beyond = math.max(cost - paid - own, 0)
  if beyond > 0 then
    lapse(tenant, journal, tenant_id)
  end
  local free = math.min(math.max(tenant.settled - tenant.held - floor, 0), MOST_AT_ONCE - own)
  if beyond > free then
    local expired = due_calls(open, tenant.now)
    if #expired > 0 then
      return { "due", unpack(expired) }
    end
  end
  local uncollected = math.max(beyond - free, 0)
  local charge = cost - paid - uncollected

  -- After this point it must succeed.
  local late = not unreserved and (call.state == "EXPIRED" or tenant.now > call.lease)
  local overrun = not unreserved and duration > call.granted
  tenant.spent = tenant.spent + charge
  enter(tenant, journal, tenant_id, "SETTLE", call_id, 0 - charge, 0 - own, duration)
  if call.state == "OPEN" then
    close(call_id, call, open, busy)
  end
  call.state = "SETTLED"
  if uncollected > 0 then
    redis.call("HINCRBY", tenant.key, "uncollected", uncollected)
  end
  lapse(tenant, journal, tenant_id)
  call.done = { duration, billed, paid + charge, uncollected, late and 1 or 0, overrun and 1 or 0, unreserved and 1 or 0, tenant.settled,
    tenant.held, tenant.now }
  write_call(call_key, call, ttl)
  return view("new", call)
end

return each(7, 14, settle)
