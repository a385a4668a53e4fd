-- Adds what a process has counted beside the live deck to the counts of a shadow deck, once.
--
-- A script, because a count that is sent again after a lost answer must not count twice.
--
-- KEYS, for each operation: counts, mark
-- ARGV, for each operation: the process's number of this count, which grows; the lines, JSON: each a field, and numbers to add to it
-- Returns, for each operation: "new"; "same" when it was counted before.

local MOST_LINES = 100000 -- beyond this, only lines that there are count on
local MOST = 9000000000000000
local KEPT_SECONDS = 90 * 86400
local MARK_SECONDS = 86400

-- Adds numbers to those of a stored field, which are joined by spaces.
local function sum(stored, numbers)
  local n = 0
  for number in string.gmatch(stored or "", "%d+") do
    n = n + 1
    numbers[n] = math.min((numbers[n] or 0) + tonumber(number), MOST)
  end
  for i, number in ipairs(numbers) do
    numbers[i] = string.format("%.0f", number)
  end
  return table.concat(numbers, " ")
end

local function count_shadow(counts, mark, number, text_of_lines)
  local lines = cjson.decode(text_of_lines)
  if whole(number, 1, 1e15) <= tonumber(redis.call("GET", mark) or "0") then
    return { "same" }
  end
  local fields, command = {}, { "HSET", counts }
  for n, line in ipairs(lines) do
    fields[n] = line[1]
  end
  local stored = redis.call("HMGET", counts, unpack(fields))
  local room = MOST_LINES - redis.call("HLEN", counts)
  for n, line in ipairs(lines) do
    if stored[n] or room > 0 then
      room = stored[n] and room or room - 1
      table.insert(command, line[1])
      table.insert(command, sum(stored[n], line[2]))
    end
  end

  -- After this point it must succeed.
  redis.call("SET", mark, number, "EX", MARK_SECONDS)
  if #command > 2 then
    redis.call(unpack(command))
    redis.call("EXPIRE", counts, KEPT_SECONDS)
  end
  return { "new" }
end

return each(2, 2, count_shadow)
