-- Stores a part of a rate deck that is not in force yet.
--
-- A script, because a deck must not change once it prices calls, whoever activates it at the same moment.
--
-- KEYS, for each operation: deck, decks
-- ARGV, for each operation: deck_version; currency; part; number of rows; the rows, packed
-- Returns, for each operation: "new" or "same" with the rows stored in all parts; "sealed"; "currency".

local function put_deck(deck, decks, deck_version, currency, part, count, rows)
  local stored = redis.call("HMGET", deck, "currency", "sealed", "rows", "n:" .. part, "p:" .. part)
  if stored[1] and stored[1] ~= currency then
    return { "currency" }
  elseif stored[5] == rows then
    return { "same", stored[3] }
  elseif stored[2] then
    return { "sealed" }
  end
  local total = tonumber(stored[3] or "0") - tonumber(stored[4] or "0") + whole(count, 1, 1e6)

  -- After this point it must succeed.
  redis.call("HSET", deck, "currency", currency, "rows", total, "n:" .. part, count, "p:" .. part, rows)
  redis.call("HINCRBY", deck, "revision", 1)
  redis.call("ZADD", decks, 0, deck_version)
  return { "new", total }
end

return each(2, 5, put_deck)
