-- Ends holds whose lease is over: gives them back, or charges the talk time that the last Extend proved where the tenant wants that.
--
-- A script, because a settle may come at the same moment: whichever runs first ends the hold, the other sees it ended.
--
-- KEYS, for each operation: tenant, call, open, due, busy, journal
-- ARGV, for each operation: call_id; tenant_id; 1 when proven talk time is charged; life of the receipt (seconds)
-- Returns, for each operation: "new" with the call's view; "gone" (ended already, or its lease was pushed out); "error".

-- The shard's index names each tenant with its earliest lease, or earlier: never later, or a hold would be forgotten.
local function point_at_next(open, due, tenant_id)
  local head = redis.call("ZRANGE", open, 0, 0, "WITHSCORES")
  if head[1] then
    redis.call("ZADD", due, head[2], tenant_id)
  else
    redis.call("ZREM", due, tenant_id)
  end
end

local function expire(tenant_key, call_key, open, due, busy, journal, call_id, tenant_id, charge_proven, ttl)
  ttl = whole(ttl, 1, 1e9)
  local tenant, call = read_tenant(tenant_key), read_call(call_key)
  if call and call.state == "OPEN" and tenant.now <= call.lease then
    point_at_next(open, due, tenant_id)
    return { "gone" }
  elseif not call or call.state ~= "OPEN" then
    redis.call("ZREM", open, call_id)
    point_at_next(open, due, tenant_id)
    return { "gone" }
  end
  local held, paid = call.held, call.done and call.done[3] or 0
  local proven = charge_proven == "1" and call.source == "CREDITS" and call.proven or 0
  local cost, billed = price(call.terms, proven)
  local charge = math.max(0, math.min(cost - paid, held))

  -- After this point it must succeed.
  tenant.spent = tenant.spent + charge
  enter(tenant, journal, tenant_id, "EXPIRE", call_id, 0 - charge, 0 - held, proven)
  close(call_id, call, open, busy)
  call.state = "EXPIRED"
  redis.call("HINCRBY", tenant.key, "abandoned", 1)
  lapse(tenant, journal, tenant_id)
  call.done = { proven, billed, paid + charge, 0, 0, 0, 0, tenant.settled, tenant.held, tenant.now, held - charge }
  write_call(call_key, call, ttl)
  point_at_next(open, due, tenant_id)
  return view("new", call)
end

return each(6, 4, expire)
