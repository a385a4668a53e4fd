-- Gives the holds of calls back whole: they were never answered, or never placed.
--
-- A script, because the end of the hold and its receipt must be one step, or a repeat gives money back twice.
--
-- KEYS, for each operation: tenant, call, open, busy, journal
-- ARGV, for each operation: call_id; tenant_id; life of the receipt (seconds)
-- Returns, for each operation: "replay" or "new" with the call's view; "unknown"; "ended" with the view (settled or refused);
--   "error" with what was wrong.

local function release(tenant_key, call_key, open, busy, journal, call_id, tenant_id, ttl)
  local call = read_call(call_key)
  if not call then
    return { "unknown" }
  elseif call.state == "RELEASED" or call.state == "EXPIRED" then
    return view("replay", call)
  elseif call.state ~= "OPEN" then
    return view("ended", call)
  end
  ttl = whole(ttl, 1, 1e9)
  local tenant = read_tenant(tenant_key)
  local held = call.held

  -- After this point it must succeed.
  enter(tenant, journal, tenant_id, "RELEASE", call_id, 0, 0 - held, 0)
  close(call_id, call, open, busy)
  call.state = "RELEASED"
  lapse(tenant, journal, tenant_id)
  local paid = call.done and call.done[3] or 0
  call.done = { 0, 0, paid, 0, 0, 0, 0, tenant.settled, tenant.held, tenant.now, held }
  write_call(call_key, call, ttl)
  return view("new", call)
end

return each(5, 3, release)
