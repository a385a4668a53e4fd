-- Writes the next step of tenants' recharges: the row, the line about it, the trigger that is watched, and when to look again.
--
-- A script, because a claim may be taken at the same moment: what was decided by a row or a claim that is not the last one any more
-- must not be written, and the row, the line, the trigger and the index change as one.
--
-- KEYS, for each operation: tenant, account, recharge, journal, recharges
-- ARGV, for each operation: tenant_id; steps that were written before (0: none); claims that were taken before; the row (an array in JSON
--   of names and values, all text); the charge that the line is about, or empty; what the line says (an object in JSON; empty: no line);
--   trigger to be watched (micros, with "s" in front when the settled balance is meant; empty: none); when to look again (ms; empty:
--   not by itself)
-- Returns, for each operation: "new"; "changed" (decide anew); "no_tenant"; "error" with what was wrong.

-- The row as the line keeps it, from which the archive can put it back.
local function row_of(fields, steps)
  local row = { steps = steps }
  for n = 1, #fields, 2 do
    row[fields[n]] = fields[n + 1]
  end
  return row
end

local function recharge(tenant_key, account, key, journal, recharges, tenant_id, steps, claims, row, charge, said, trigger, due)
  local tenant = read_tenant(tenant_key, account, tenant_id, journal, recharges)
  if not tenant.profile then
    return { "no_tenant" }
  end
  local stored = book.receipts[key] or redis.call("HGET", key, "steps") or "0"
  if stored ~= steps or (redis.call("HGET", tenant.key, "re") or "0") ~= claims then
    return { "changed" }
  end
  local fields, details = cjson.decode(row), said ~= "" and cjson.decode(said)
  local due_ms, written = due ~= "" and whole(due, 0, MOST), text(whole(steps, 0, MOST) + 1)
  local epoch = whole(claims, 0, MOST)

  -- After this point it must succeed.
  arm(tenant, trigger)
  if details then
    details.row, details.rt, details.re = row_of(fields, written), trigger, epoch
    detail(enter(tenant, "RECHARGE", charge, 0, 0, 0), details)
  end
  book.receipts[key] = written
  book.lines[#book.lines + 1] = { "HSET", key, "steps", written, unpack(fields) }
  book.lines[#book.lines + 1] = due_ms and { "ZADD", recharges, due_ms, tenant_id } or { "ZREM", recharges, tenant_id }
  return { "new" }
end

return each(5, 8, recharge)
