-- Adds talk time to calls and pushes their leases out; takes an expired hold anew when the money is there.
--
-- A script, because more may be held only if it is free at that moment, and an Extend must not race the settle.
--
-- KEYS, for each operation: tenant, call, open, due, busy, journal
-- ARGV, for each operation: call_id; tenant_id; tenant's profile version; epoch of the profiles by which the call was judged again
--   (empty: not judged); refusal found by that judgement (a reason, or empty); 1 when a refusal must end the call at once;
--   sequence; seconds to add; grace (seconds); most percent of the balance for the payer
-- Returns, for each operation: "replay" or "new" with the call's view; "judge" with the epoch and the view (a profile changed since:
--   judge the call again); "stale"; "due" with call ids; "mismatch"; "unknown"; "ended" with the view; "error" with what was wrong.

local function refuse(call_key, call, sequence, added, why, granted, tenant)
  call.last = { sequence, added, granted, 0, 0, tenant.settled, tenant.held, tenant.now, 0, call.held }
  call.last_why = why
  write_call(call_key, call, call.state == "OPEN" and 0 or math.max(1, redis.call("TTL", call_key)))
  return view("new", call)
end

local function extend(tenant_key, call_key, open, due, busy, journal, call_id, tenant_id, tenant_profile, epoch, refusal, cut, sequence,
    added, grace, most_percent)
  local call = read_call(call_key)
  if not call then
    return { "unknown" }
  elseif call.state ~= "OPEN" and call.state ~= "EXPIRED" then
    return view("ended", call)
  end
  sequence, added = whole(sequence, 1, 1e9), whole(added, 1, MOST_SECONDS)
  grace, most_percent = whole(grace, 0, 3600), whole(most_percent, 0, 100)
  if call.last and sequence <= call.last[1] then
    local same = sequence < call.last[1] or added == call.last[2]
    return same and view("replay", call) or { "mismatch" }
  end
  local tenant = read_tenant(tenant_key)
  if tenant.profile ~= tenant_profile then
    return { "stale" }
  elseif call.epoch ~= tenant.epoch and epoch ~= tenant.epoch then
    return { "judge", tenant.epoch, view("judge", call) }
  end
  if refusal ~= "" then -- keeps the old epoch, so that the next wish is judged again instead of let through
    return refuse(call_key, call, sequence, added, refusal, cut == "1" and 0 or call.granted, tenant)
  end
  call.epoch = tenant.epoch
  local expired = call.state == "EXPIRED" or tenant.now > call.lease
  local total, cost, use = math.min(call.granted + added, MOST_SECONDS), 0, read_payer_use(busy, call.payer)
  local more = total > call.granted or call.source == "EMERGENCY" -- which has all there is: nobody hangs up on it for asking
  local granted, paid, why = total, call.done and call.done[3] or 0, more and "" or "CALL_LIMIT"
  if call.source == "CREDITS" and why == "" then
    lapse(tenant, journal, tenant_id)
    local money, short = purse(tenant, use, call.held, call.line or 0, most_percent)
    granted, cost, why = hold_for(call.terms, total, 0, money + paid, short)
    why = granted <= call.granted and short or why
    local due_now = (why ~= "" or granted < total) and due_calls(open, tenant.now) or {}
    if #due_now > 0 then
      return { "due", unpack(due_now) }
    end
  end
  if why ~= "" then
    return refuse(call_key, call, sequence, added, why, call.granted, tenant)
  end

  -- After this point it must succeed.
  local held_delta = math.max(cost - paid, 0) - call.held
  local elapsed = math.floor((tenant.now - call.first[7]) / 1000)
  call.proven = math.min(call.granted, elapsed)
  call.lease = (expired and tenant.now + grace * 1000 or call.lease) + (granted - call.granted) * 1000
  use.open, use.held = use.open + (call.state == "OPEN" and 0 or 1), use.held + held_delta
  call.state, call.held, call.granted = "OPEN", call.held + held_delta, granted
  enter(tenant, journal, tenant_id, call.source == "CREDITS" and "HOLD" or "RECORD", call_id, 0, held_delta, granted)
  call.last = { sequence, added, granted, math.floor((call.lease - tenant.now) / 1000), granted < total and 1 or 0, tenant.settled,
    tenant.held, tenant.now, expired and 1 or 0, call.held }
  call.last_why = nil
  write_call(call_key, call, 0)
  redis.call("ZADD", open, call.lease, call_id)
  redis.call("ZADD", due, "LT", call.lease, tenant_id)
  write_payer_use(busy, call.payer, use)
  return view("new", call)
end

return each(6, 10, extend)
