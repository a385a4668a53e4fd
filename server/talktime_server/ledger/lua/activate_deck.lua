-- Puts a complete deck in force for its currency, and seals it.
--
-- A script, because the switch is one step: every decision is priced by the old deck or by the new one (semantics 88).
--
-- KEYS, for each operation: deck, active
-- ARGV, for each operation: deck_version; number of rows it must have; revision that was checked
-- Returns, for each operation: "new" with the time of activation (ms); "unknown"; "incomplete" with the rows it has; "changed".

local function activate_deck(deck, active, deck_version, count, revision)
  local stored = redis.call("HMGET", deck, "currency", "rows", "revision")
  if not stored[1] then
    return { "unknown" }
  elseif stored[2] ~= count then
    return { "incomplete", stored[2] }
  elseif stored[3] ~= revision then
    return { "changed" }
  end
  local time = redis.call("TIME")
  local now = tonumber(time[1]) * 1000

  -- After this point it must succeed.
  redis.call("HSET", deck, "sealed", "1", "at", now)
  redis.call("HSET", active, stored[1], deck_version)
  return { "new", now }
end

return each(2, 3, activate_deck)
