-- Adds talk time to calls and pushes their leases out; takes an expired hold anew when the money is there.
--
-- A script, because more may be held only if it is free at that moment, and an Extend must not race the settle.
--
-- KEYS: tenant, account, payer, call, open, due, busy, journal, meters, recharges
-- ARGV, packed: call_id; tenant_id; tenant's profile version; epoch of the profiles by which the call was judged again (-1: not judged);
--   refusal found by that judgement (a reason, or empty); whether a refusal must end the call at once; source, pools, refusal when pools
--   alone are too little, and limits (text, or empty), as judged; sequence; seconds to add; grace (seconds)
-- Returns "replay" or "new" with the call; "judge" with the call and the epoch (a profile changed since: judge the call again); "stale";
--   "due" with call ids; "mismatch"; "unknown"; "ended" with the call; "error" with what was wrong.

-- The answer is part of the call, so an open one is written down anew for the archive; the receipt of one that expired is its own.
local function refuse(call_key, call_id, call, sequence, added, why, granted, tenant)
  call.last = { sequence, added, granted, 0, 0, tenant.settled, tenant.held, tenant.now, 0, call.held }
  call.last_why, call.last_split = why, nil
  if call.state == "OPEN" then
    return write_call(call_key, call, 0, enter(tenant, "KEEP", call_id, 0, 0, 0))
  end
  return write_call(call_key, call, math.max(1, redis.call("TTL", call_key)))
end

-- What may pay from now on, as the profiles of now say; what was free stays free, and what was paid does not become free (semantics 67).
local function judged(call, source, plan, short, limits)
  call.limits = limits ~= "" and limits or nil
  if not is_free(call) and source ~= "INCLUDED" then
    if source ~= call.source then
      say_splits(call)
    end
    call.source, call.plan, call.short = known_source(source), plan ~= "" and plan or nil, short
    call.month = call.month or month_of(call.first[7])
  end
end

local function extend(names, given)
  local tenant_key, account, _, call_key, open, due, busy, journal, meters, recharges = unpack(names)
  local call_id, tenant_id, tenant_profile, epoch, refusal, cut, source, plan, short, limits, sequence, added, grace = unpack(given)
  local call, stored = read_call(call_key)
  if not call then
    return { "unknown" }
  elseif call.state ~= "OPEN" and call.state ~= "EXPIRED" then
    return { "ended", stored }
  end
  within(sequence, 1, 1e9)
  within(added, 1, MOST_SECONDS)
  within(grace, 0, 3600)
  if call.last and sequence <= call.last[1] then
    local same = sequence < call.last[1] or added == call.last[2]
    return same and { "replay", stored } or { "mismatch" }
  end
  local tenant = read_tenant(tenant_key, account, tenant_id, journal, recharges)
  if tenant.profile ~= tenant_profile then
    return { "stale" }
  elseif tonumber(call.epoch) ~= tenant.epoch and epoch ~= tenant.epoch then
    return { "judge", stored, tenant.epoch }
  end
  if refusal ~= "" then -- keeps the old epoch, so that the next wish is judged again instead of let through
    return refuse(call_key, call_id, call, sequence, added, refusal, cut and 0 or call.granted, tenant)
  elseif epoch >= 0 then
    judged(call, source, plan, short, limits)
  end
  call.epoch = tenant.epoch
  local total, use, budget = math.min(call.granted + added, MOST_SECONDS), payer_use(busy, call.payer, tenant), budget_of(meters, call, tenant)
  local bounds = read_limits(call.limits or "")
  local free = is_free(call)
  local more = total > call.granted or call.source == "EMERGENCY" -- which has all there is: nobody hangs up on it for asking
  local held = for_nothing(total, more and "" or "CALL_LIMIT")
  if more and not free then
    lapse(tenant)
    held = cover(tenant, use, meters, call, total, bounds, budget)
    if held.talk < total and (held.granted < total or call.plan or held.invoiced > 0) then
      local over = due_calls(open, tenant.now)
      if #over > 0 then
        return { "due", unpack(over) }
      end
    end
    held.why = held.granted <= call.granted and held.why or ""
  end
  if held.why ~= "" then
    if held.why == "SPEND_LIMIT" then
      tell(tenant, call.payer, use, bounds.reached)
    end
    return refuse(call_key, call_id, call, sequence, added, held.why, call.granted, tenant)
  end

  -- After this point it must succeed.
  local had, owed, paid, invoiced = call.held, call.owed or 0, charged_before(call)
  local expired = call.state == "EXPIRED" or tenant.now > call.lease
  local elapsed = math.floor((tenant.now - call.first[7]) / 1000)
  call.proven = math.min(call.granted, elapsed)
  call.lease = (expired and tenant.now + grace * 1000 or call.lease) + (held.granted - call.granted) * 1000
  local moved = move_pools(meters, call, held.drawn, false, tenant)
  local opened = call.state == "OPEN" and 0 or 1
  if opened == 1 then
    call.gen = tenant.gen > 0 and tenant.gen or nil
  end
  hold(tenant, use, budget, call, math.max(held.credits - paid, 0), math.max(held.invoiced - invoiced, 0))
  use.open, call.state, call.granted = use.open + opened, "OPEN", held.granted
  local line = enter(tenant, free and "RECORD" or "HOLD", call_id, 0, call.held - had, held.granted, moved, 0, (call.owed or 0) - owed)
  call.last = { sequence, added, held.granted, math.floor((call.lease - tenant.now) / 1000), held.granted < total and 1 or 0, tenant.settled,
    tenant.held, tenant.now, expired and 1 or 0, call.held }
  call.last_why, call.last_split = nil, split_of(call, held.drawn, held.talk, held.rest, held.credits, held.invoiced, call.held)
  keep_open(tenant, open, due, call_id, call.lease, opened)
  return write_call(call_key, call, 0, line)
end

operations.extend = { keys = 10, judge = extend }
