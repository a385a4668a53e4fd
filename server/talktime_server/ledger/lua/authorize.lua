-- Decides calls: gives the first answer again, refuses, or holds the money.
--
-- A script, because the check of the balance and the hold must be one step, or two callers spend the same cent.
--
-- KEYS, for each operation: tenant, payer, call, open, due, busy, journal
-- ARGV, for each operation: call_id; tenant_id; payer_id; tenant's profile version; payer's profile version (0: no such payer);
--   facts (text, kept); refusal (a reason, or empty); source (INCLUDED, CREDITS, EMERGENCY); rate and fee (micros);
--   initial, increment, asked, least grant, grace (seconds); credit line (micros below zero that may be held); most open calls;
--   most open calls of the payer; most percent of the balance for the payer; life of a refusal's receipt (seconds);
--   1 to decide alone and keep nothing (a quote), else 0
-- Returns, for each operation: "replay" or "new" with the call's view; "stale" (profiles changed: read them and ask again);
--   "due" with call ids (expire these and ask again); "no_tenant"; "error" with what was wrong.

local function authorize(tenant_key, payer_key, call_key, open, due, busy, journal, call_id, tenant_id, payer_id, tenant_profile,
    payer_profile, facts, refusal, source, rate, fee, initial, increment, asked, least, grace, line, most_open, most_payer_open,
    most_percent, refusal_ttl, dry)
  local known = dry == "0" and read_call(call_key)
  if known then
    return view("replay", known)
  end
  local tenant = read_tenant(tenant_key)
  if not tenant.profile then
    return { "no_tenant" }
  end
  local emergency = source == "EMERGENCY"
  local payer_version = redis.call("HGET", payer_key, "pv") or "0"
  if not emergency and (tenant.profile ~= tenant_profile or payer_version ~= payer_profile) then
    return { "stale" }
  end
  local terms = read_terms(rate, fee, initial, increment)
  asked, grace, line = whole(asked, 1, MOST_SECONDS), whole(grace, 0, 3600), whole(line, 0, MOST_AT_ONCE)
  least, refusal_ttl = whole(least, 0, 3600), whole(refusal_ttl, 1, 1e9)
  most_open, most_payer_open, most_percent = whole(most_open, 0, 1e6), whole(most_payer_open, 0, 1e6), whole(most_percent, 0, 100)
  local use = read_payer_use(busy, payer_id)
  local granted, cost = asked, 0

  if refusal == "" and not emergency then
    if (most_open > 0 and redis.call("ZCARD", open) >= most_open) or (most_payer_open > 0 and use.open >= most_payer_open) then
      refusal = "CALL_LIMIT"
    elseif source == "CREDITS" then
      lapse(tenant, journal, tenant_id)
      granted, cost, refusal = hold_for(terms, asked, least, purse(tenant, use, 0, line, most_percent))
    end
    if refusal ~= "" or granted < asked then
      local expired = due_calls(open, tenant.now)
      if #expired > 0 then
        return { "due", unpack(expired) }
      end
    end
  end

  local call = { facts = facts, payer = payer_id, source = source, terms = terms, held = cost, granted = granted, lease = 0 }
  if refusal ~= "" then
    call.state, call.why, call.held, call.granted = "REFUSED", refusal, 0, 0
    call.first = { 0, 0, 0, 0, tenant.settled, tenant.held, tenant.now }
    if dry == "0" then
      write_call(call_key, call, refusal_ttl)
    end
    return view("new", call)
  end
  call.state, call.lease, call.line = "OPEN", tenant.now + (granted + grace) * 1000, line > 0 and line or nil
  call.epoch, call.first = tenant.epoch, { granted, cost, granted + grace, granted < asked and 1 or 0, tenant.settled, tenant.held, tenant.now }
  if dry == "1" then
    return view("new", call)
  end

  -- After this point it must succeed.
  enter(tenant, journal, tenant_id, source == "CREDITS" and "HOLD" or "RECORD", call_id, 0, cost, granted)
  call.first[5], call.first[6] = tenant.settled, tenant.held
  write_call(call_key, call, 0)
  redis.call("ZADD", open, call.lease, call_id)
  redis.call("ZADD", due, "LT", call.lease, tenant_id)
  use.open, use.held = use.open + 1, use.held + cost
  write_payer_use(busy, payer_id, use)
  return view("new", call)
end

return each(7, 21, authorize)
