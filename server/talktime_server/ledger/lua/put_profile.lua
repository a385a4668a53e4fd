-- Writes the profiles of tenants and payers, whole, and counts their versions.
--
-- A script, because a decision compares these versions: text and version must change in one step.
--
-- KEYS, for each operation: profile, tenant, index
-- ARGV, for each operation: id (in the index); text; version it must have now (0: none yet; empty: any); currency (tenants; else empty)
-- Returns, for each operation: "new" or "same" with the version; "changed" with the version it has; "no_tenant"; "currency".

local function put_profile(profile, tenant, index, id, body, expected, currency)
  local stored = redis.call("HMGET", profile, "pv", "p", "cur")
  local version = tonumber(stored[1] or "0")
  if expected ~= "" and expected ~= (stored[1] or "0") then
    return { "changed", version }
  elseif currency ~= "" and stored[3] and stored[3] ~= currency then
    return { "currency" }
  elseif currency == "" and redis.call("HEXISTS", tenant, "pv") == 0 then
    return { "no_tenant" }
  elseif stored[2] == body then
    return { "same", version }
  end

  -- After this point it must succeed.
  redis.call("HSET", profile, "pv", version + 1, "p", body)
  if currency ~= "" then
    redis.call("HSET", profile, "cur", currency)
  end
  redis.call("HINCRBY", tenant, "pe", 1) -- open calls are judged again before they are extended
  redis.call("ZADD", index, 0, id)
  return { "new", version + 1 }
end

return each(3, 4, put_profile)
