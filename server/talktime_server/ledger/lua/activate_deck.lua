-- Puts a complete deck in force for a scope, soon or at a time, and seals it; or ("-") takes the scope's own deck out of force.
--
-- A script, because the switch is one step: every decision is priced by the old deck or by the new one (semantics 88). It lies at least
-- `lead` ahead, so that every process has heard of it and has the deck at hand: they all switch at the same instant. A scope keeps the
-- deck in force, what follows within the lead, and one deck planned for later.
--
-- KEYS, for each operation: deck, active, changes
-- ARGV, for each operation: scope; deck_version or "-"; number of rows it must have; revision that was checked; from when on (ms; past: now);
--   lead (ms)
-- Returns, for each operation: "new" or "same" with the time from which it is in force (ms); "unknown"; "incomplete" with the rows it has;
--   "changed"; "full" when there are too many scopes, or switches within the lead.

local MOST_SCOPES, MOST_SWITCHES, LONGEST_LEAD = 100000, 16, 1200

local function refusal(stored, count, revision)
  local incomplete = stored[2] ~= count and { "incomplete", stored[2] }
  return not stored[1] and { "unknown" } or incomplete or stored[3] ~= revision and { "changed" }
end

-- The scope's switches by time: of those that are over the last, those up to a horizon, and apart what is planned for later.
local function read_switches(stored, now, horizon)
  local switches, planned = {}, nil
  if stored ~= "" and not string.find(stored, " ", 1, true) then
    switches[1] = { at = 0, version = stored } -- as older stores keep it
  end
  for at, version in string.gmatch(stored, "(%d+) (%S+)") do
    local switch = { at = tonumber(at), version = version }
    if switch.at > horizon then
      planned = switch
    else
      switches[switch.at <= now and 1 or #switches + 1] = switch
    end
  end
  return switches, planned
end

-- Revisions only grow, also when a store has lost its last ones. Scopes of an older store have none yet: they get the first ones.
local function mark_change(active, changes, scope, now)
  local last = redis.call("ZREVRANGE", changes, 0, 0, "WITHSCORES")
  for n, known in ipairs(last[1] and {} or redis.call("HKEYS", active)) do
    redis.call("ZADD", changes, n, known)
  end
  redis.call("ZADD", changes, math.max(tonumber(last[2] or "0") + 1, now), scope)
end

local function activate_deck(deck, active, changes, scope, deck_version, count, revision, from, lead)
  local refused = deck_version ~= "-" and refusal(redis.call("HMGET", deck, "currency", "rows", "revision"), count, revision)
  if refused then
    return refused
  end
  local now, horizon = book.clock, book.clock + LONGEST_LEAD
  local switches, planned = read_switches(redis.call("HGET", active, scope) or "", now, horizon)
  local last = switches[#switches] or { at = 0, version = "-" }
  local at = whole(from, 0, 1e15)
  local plans = at > horizon
  at = plans and at or math.max(at, now + whole(lead, 0, LONGEST_LEAD), last.at) -- what is asked for last is in force last
  local drops = planned and (plans or deck_version == "-")
  local standing = plans and (planned or {}) or last
  if standing.version == deck_version and (standing.at == at or not plans and not drops) then
    return { "same", standing.at }
  elseif #switches > MOST_SWITCHES or redis.call("HLEN", active) >= MOST_SCOPES then
    return { "full" }
  end
  table.insert(switches, { at = at, version = deck_version })
  table.insert(switches, not drops and planned or nil)
  for n, switch in ipairs(switches) do
    switches[n] = string.format("%.0f %s", switch.at, switch.version)
  end

  -- After this point it must succeed.
  mark_change(active, changes, scope, now)
  redis.call("HSET", active, scope, table.concat(switches, " "))
  if deck_version ~= "-" then
    redis.call("HSET", deck, "sealed", "1", "at", at)
  end
  return { "new", at }
end

return each(3, 6, activate_deck)
