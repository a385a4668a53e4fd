-- Decides calls: gives the first answer again, refuses, or holds what pays.
--
-- A script, because the check of the balance and the hold must be one step, or two callers spend the same cent.
--
-- KEYS: tenant, account, payer, call, open, due, busy, journal, meters, recharges
-- ARGV, packed: call_id; tenant_id; payer_id; tenant's profile version and payer's (0: no such payer); facts (text, kept); refusal (a
--   reason, or empty); source (INCLUDED, EMERGENCY, CREDITS, CREDITS+POSTPAID, POSTPAID, or empty: pools alone); pools (text, see
--   pools.lua); refusal when pools alone are too little; rate and fee (micros); initial, increment, asked, least grant, grace (seconds);
--   credit line (micros below zero that may be held); limits (text, or empty); whether the call is costly; conference (its id when it has
--   a budget, else empty); its budget (micros); life of a refusal's receipt (seconds); whether to decide alone and keep nothing (a quote)
-- Returns "replay" or "new" with the call; "another" with the call that has the id; "stale" (profiles changed: read them and ask again);
--   "due" with call ids (expire these and ask again); "no_tenant"; "error" with what was wrong.

local reached = {} -- whose limit refused a call, by its key: it is to be told when the call is judged anew with its batch

-- Whether two texts of facts begin with the same request: one id is one call (semantics 2). The data version before this one knew no
-- budgets, and kept twelve facts (semantics 91).
local REQUEST, OLD_REQUEST = string.rep("[^\31]*\31", 8), string.rep("[^\31]*\31", 7)
local WITHOUT_BUDGET = string.format("^%s0\31", OLD_REQUEST)

local function same_request(known, facts)
  if select(2, string.gsub(known, "\31", "")) == 11 then
    return string.match(known, OLD_REQUEST) == string.match(facts, OLD_REQUEST) and string.find(facts, WITHOUT_BUDGET) ~= nil
  end
  return string.match(known, REQUEST) == string.match(facts, REQUEST)
end

-- What stands in the way before money is looked at: too many calls, or too many costly ones; and which limit says so.
local function too_many(tenant, use, open, limits, second, costly)
  local t, p = limits.tenant, limits.payer
  local window = math.floor(second / limits.window)
  if t.open > 0 and count_open(open) >= t.open then
    return "CALL_LIMIT", "tenant open"
  elseif p.open > 0 and use.open >= p.open then
    return "CALL_LIMIT", "payer open"
  elseif t.rate > 0 and tenant.use.second == second and tenant.use.started >= t.rate then
    return "CALL_LIMIT", "tenant rate"
  elseif p.rate > 0 and use.second == window and use.started >= p.rate then
    return "CALL_LIMIT", "payer rate"
  elseif costly and t.costly > 0 and tenant.use.costly >= t.costly then
    return "SPEND_LIMIT", "tenant costly", "tenant"
  elseif costly and p.costly > 0 and use.costly >= p.costly then
    return "SPEND_LIMIT", "payer costly", "payer"
  end
  return ""
end

local function count_start(use, second, costly)
  use.started = use.second == second and use.started + 1 or 1
  use.second, use.costly, use.changed = second, use.costly + (costly and 1 or 0), true
end

local function authorize(names, given)
  local tenant_key, account, payer_key, call_key, open, due, busy, journal, meters, recharges = unpack(names)
  local call_id, tenant_id, payer_id, tenant_profile, payer_profile, facts, refusal, source, plan, short, rate, fee, initial, increment, asked,
    least, grace, line, limits, costly, conference, budget, refusal_ttl, dry = unpack(given)
  local known, stored = read_call(call_key)
  if known and not dry then
    local unreserved = known.done and known.done[7] == 1
    local same = unreserved or same_request(known.facts, facts)
    return { same and "replay" or "another", stored }
  end
  local tenant = read_tenant(tenant_key, account, tenant_id, journal, recharges)
  if not tenant.profile then
    return { "no_tenant" }
  end
  local emergency = source == "EMERGENCY"
  if not emergency and (tenant.profile ~= tenant_profile or payer_version(payer_key) ~= payer_profile) then
    return { "stale" }
  end
  within(asked, 1, MOST_SECONDS)
  within(least, 0, 3600)
  within(grace, 0, 3600)
  within(line, 0, MOST_AT_ONCE)
  within(budget, 0, MOST_AT_ONCE)
  within(refusal_ttl, 1, 1e9)
  local bounds = read_limits(limits)
  local call = { facts = facts, payer = payer_id, source = known_source(source), terms = read_terms(rate, fee, initial, increment), held = 0,
    granted = 0, lease = 0, short = short ~= "" and short or nil, plan = plan ~= "" and plan or nil, line = line > 0 and line or nil,
    limits = limits ~= "" and limits or nil }
  if call.plan then
    call.month = tenant.month
  end
  if budget > 0 then
    call.conference, call.budget = conference, budget
  end
  local use, spent = payer_use(busy, payer_id, tenant), budget_of(meters, call, tenant)
  local second, held = math.floor(tenant.now / 1000), nil

  if refusal == "" and not emergency then
    if bounds.given then
      refusal, bounds.named, bounds.reached = too_many(tenant, use, open, bounds, second, costly)
    end
    if refusal == "" and source ~= "INCLUDED" then
      lapse(tenant)
      held = cover(tenant, use, meters, call, asked, bounds, spent)
      refusal = (held.granted == 0 or held.granted < asked and held.granted < least) and held.why or ""
    end
    if refusal ~= "" or held and held.talk < asked and (held.granted < asked or call.plan or held.invoiced > 0) then
      local expired = due_calls(open, tenant.now)
      if #expired > 0 then
        return { "due", unpack(expired) }
      end
    end
  end

  if refusal ~= "" then
    call.state, call.why, call.granted = "REFUSED", refusal, 0
    call.limit = (refusal == "CALL_LIMIT" or refusal == "SPEND_LIMIT") and bounds.named or nil
    call.first = { 0, 0, 0, 0, tenant.settled, tenant.held, tenant.now }
    if dry then
      return { "new", pack_call(call) }
    end
    reached[call_key] = bounds.reached or reached[call_key]
    if reached[call_key] then
      tell(tenant, payer_id, use, reached[call_key])
    end
    return write_call(call_key, call, refusal_ttl)
  end
  held = held or for_nothing(asked, "")
  call.state, call.granted, call.lease, call.epoch = "OPEN", held.granted, tenant.now + (held.granted + grace) * 1000, tenant.epoch
  call.first = { held.granted, held.credits, held.granted + grace, held.granted < asked and 1 or 0, tenant.settled, tenant.held, tenant.now }
  call.first_split = split_of(call, held.drawn, held.talk, held.rest, held.credits, held.invoiced, held.credits)
  if dry then
    return { "new", pack_call(call) }
  end

  -- After this point it must succeed.
  local free = is_free(call)
  local moved = move_pools(meters, call, held.drawn, false, tenant)
  if tenant.gen > 0 then
    call.gen = tenant.gen
  end
  hold(tenant, use, spent, call, held.credits, held.invoiced)
  use.open = use.open + 1
  count_start(tenant.use, second, costly)
  count_start(use, math.floor(second / bounds.window), costly)
  local entry = enter(tenant, free and "RECORD" or "HOLD", call_id, 0, held.credits, held.granted, moved, 0, held.invoiced)
  call.first[5], call.first[6] = tenant.settled, tenant.held
  keep_open(tenant, open, due, call_id, call.lease, 1)
  return write_call(call_key, call, 0, entry)
end

operations.authorize = { keys = 10, judge = authorize }
