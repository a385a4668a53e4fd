-- Says which scopes have another deck in force, or planned, than a process knows of.
--
-- A script, because the clock and the switches must be of one moment, and of one store.
--
-- KEYS, for each operation: active, changes
-- ARGV, for each operation: revision that is known (0: nothing is); most scopes to name
-- Returns, for each operation: "same", "more", or "anew" when all that was known is to be forgotten first; then the time (ms), the revision
--   that is known now, and each changed scope with its switches.

local function watch_decks(active, changes, known, most)
  local now = book.clock
  local last = tonumber(redis.call("ZREVRANGE", changes, 0, 0, "WITHSCORES")[2] or "0")
  local revision = whole(known, 0, 1e15)
  if revision == last and last > 0 then
    return { "same", now, last }
  elseif revision == 0 and last == 0 then
    return { "anew", now, 0, unpack(redis.call("HGETALL", active)) } -- an older store: a deck for each currency
  end
  local word = (revision == 0 or revision > last) and "anew" or "more"
  local after = word == "anew" and "0" or known
  local found = redis.call("ZRANGEBYSCORE", changes, string.format("(%s", after), "+inf", "WITHSCORES", "LIMIT", 0, whole(most, 1, 1000))
  local answer = { word, now, 0 }
  for n = 1, #found, 2 do
    table.insert(answer, found[n])
    table.insert(answer, redis.call("HGET", active, found[n]) or "")
    answer[3] = tonumber(found[n + 1])
  end
  return answer
end

return each(2, 2, watch_decks)
