-- Charges what calls really used and gives the rest of their holds back, once.
--
-- A script, because the charge, the end of the hold and the receipt must be one step, or a repeat charges twice.
--
-- KEYS: tenant, account, payer, call, open, due, busy, journal, meters, recharges, unmatched
-- ARGV, packed: call_id; tenant_id; tenant's profile version; duration (seconds); floor of the balance (micros, 0 or less); life of
--   the receipt (seconds); for a call that is not here what the archive has of it (packed; empty: nothing; "-": it was not asked); and for a
--   call that was never authorized, else nothing: facts, payer_id, the payer's profile version (0: no such payer), source, pools,
--   conference (when it has a budget), its budget, rate and fee (micros), initial and increment (seconds)
-- Returns "replay" or "new" with the call; "absent" (no such call here: ask the archive, and then again); "unmatched" (no such call, and no
--   fields to charge it by); "differs" with the call (settled before with another duration); "ended" with the call; "stale"; "due" with
--   call ids; "no_tenant"; "error" with what was wrong.

-- A settle that nobody can place is kept once, so that an operator finds it.
local function keep_unmatched(tenant, unmatched, call_id, duration, ttl)
  if not book.receipts[unmatched] and redis.call("EXISTS", unmatched) == 0 then
    enter(tenant, "UNMATCHED", call_id, 0, 0, duration)
    book.receipts[unmatched] = duration
    book.lines[#book.lines + 1] = { "SET", unmatched, duration, "EX", ttl }
  end
  return { "unmatched" }
end

local function settle(names, given)
  local tenant_key, account, payer_key, call_key, open, _, busy, journal, meters, recharges, unmatched = unpack(names)
  local call_id, tenant_id, tenant_profile, duration, floor, ttl, archived, facts, payer_id, payer_profile, source, plan, conference,
    budget_micros, rate, fee, initial, increment = unpack(given)
  within(duration, 0, MOST_SECONDS)
  within(floor, -MOST_AT_ONCE, 0)
  within(ttl, 1, 1e9)
  local call, stored = read_call(call_key)
  if call and call.state == "SETTLED" then
    return { call.done[1] == duration and "replay" or "differs", stored }
  elseif call and (call.state == "RELEASED" or call.state == "REFUSED") then
    return { "ended", stored }
  elseif not call and archived == "-" then
    return { "absent" }
  elseif not call and archived ~= "" then
    call = unpack_call(archived) -- its lease ended so long ago that the store forgot it, and nobody settled it
    if call.state ~= "EXPIRED" then
      error("a call from the archive that ended otherwise")
    end
  end
  local tenant = read_tenant(tenant_key, account, tenant_id, journal, recharges)
  if not tenant.profile then
    return { "no_tenant" }
  elseif not call and not facts and tenant.profile == tenant_profile then
    return keep_unmatched(tenant, unmatched, call_id, duration, ttl)
  elseif tenant.profile ~= tenant_profile or (not call and payer_profile ~= payer_version(payer_key)) then
    return { "stale" }
  end
  local unreserved = not call
  if unreserved then
    call = { state = "NEW", facts = facts, payer = payer_id, source = known_source(source), held = 0, granted = 0, lease = 0,
      terms = read_terms(rate, fee, initial, increment), plan = plan ~= "" and plan or nil, month = tenant.month }
    if within(budget_micros, 0, MOST_AT_ONCE) > 0 then
      call.conference, call.budget = conference, budget_micros
    end
  end
  local use, budget = payer_use(busy, call.payer, tenant), budget_of(meters, call, tenant)
  local free = is_free(call)
  local drawn, talk = draw(meters, call, free and 0 or duration, true)
  local own, owed, paid, invoiced = call.held, call.owed or 0, charged_before(call)
  -- What is held pays whatever the profiles say now (semantics 67).
  local money = not free and (may_pay(call, CREDITS) or may_pay(call, POSTPAID) or paid + invoiced + own + owed > 0)
  local rest, cost, billed = duration - talk, 0, 0
  if money then
    cost, billed = price(call.terms, rest, talk > 0 and 0 or call.terms[FEE])
  elseif free then
    billed = select(2, price(call.terms, duration, 0))
  end
  -- What an orphan was charged counts; then its hold pays, then free credits of today; the rest goes to the invoice, or down to the floor.
  local by_hold = math.min(cost, paid + own)
  local by_invoice = math.min(cost - by_hold, invoiced + owed)
  local beyond = cost - by_hold - by_invoice
  if beyond > 0 then
    lapse(tenant)
  end
  local behind = may_pay(call, POSTPAID)
  local available = may_pay(call, CREDITS) and tenant.settled - tenant.held - (behind and 0 or floor) or 0
  local by_free = math.min(beyond, math.max(available, 0), MOST_AT_ONCE - own)
  if by_free < beyond or (call.plan and rest > 0) then
    local expired = due_calls(open, tenant.now)
    if #expired > 0 then
      return { "due", unpack(expired) }
    end
  end
  local room = math.min(MOST_AT_ONCE - by_hold - by_invoice - by_free, MOST - tenant.invoiced - tenant.owed)
  local later = behind and math.min(beyond - by_free, room) or 0
  by_invoice = by_invoice + later
  local charge, uncollected = by_hold + by_free - paid, beyond - by_free - later

  -- After this point it must succeed.
  local late = not unreserved and (call.state == "EXPIRED" or tenant.now > call.lease)
  local overrun = not unreserved and duration > call.granted
  local moved = move_pools(meters, call, drawn, true, tenant)
  hold(tenant, use, budget, call, 0, 0)
  spend(tenant, use, budget, charge + by_invoice - invoiced, call.done)
  tenant.spent = tenant.spent + charge
  local line = enter(tenant, "SETTLE", call_id, 0 - charge, 0 - own, duration, moved, by_invoice - invoiced, 0 - owed)
  if call.state == "OPEN" then
    close(call_id, open, use)
  end
  call.state = "SETTLED"
  if uncollected > 0 then
    add_up(tenant, "uncollected", uncollected)
  end
  lapse(tenant)
  billed = billed + minutes_charged(call)
  call.done = { duration, billed, paid + charge, uncollected, late and 1 or 0, overrun and 1 or 0, unreserved and 1 or 0, tenant.settled,
    tenant.held, tenant.now, 0, (money or free) and 0 or rest, by_invoice }
  call.done_split = split_of(call, drawn, talk, rest, paid + charge, by_invoice, paid + charge)
  return write_call(call_key, call, ttl, line)
end

operations.settle = { keys = 11, judge = settle }
