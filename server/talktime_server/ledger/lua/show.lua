-- Shows calls as stored.
--
-- A script, because only scripts know how a call is stored.
--
-- KEYS, for each operation: call
-- ARGV, for each operation: none
-- Returns, for each operation: "new" with the call; "unknown".

local function show(call_key)
  local _, stored = read_call(call_key)
  return stored and { "new", stored } or { "unknown" }
end

return each(1, 0, show)
