-- Writes open calls down anew in the journal, as they are: the archive has what an older version of the store kept to itself.
--
-- A script, because the call must be open, and as it is, at the moment of its line.
--
-- KEYS, for each operation: tenant, account, call, journal, recharges
-- ARGV, for each operation: call_id; tenant_id
-- Returns, for each operation: "new"; "gone" when it is not open any more.

local function keep(tenant_key, account, call_key, journal, recharges, call_id, tenant_id)
  local stored = redis.call("GET", call_key)
  if not stored or unpack_call(stored).state ~= "OPEN" then
    return { "gone" }
  end
  local tenant = read_tenant(tenant_key, account, tenant_id, journal, recharges)

  -- After this point it must succeed.
  local line = enter(tenant, "KEEP", call_id, 0, 0, 0)
  line[#line + 1], line[#line + 2] = "c", stored
  return { "new" }
end

return each(5, 2, keep)
