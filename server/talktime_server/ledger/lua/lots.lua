-- Credits by their purchase: each funding is a lot, spent oldest first, and what is free of it is lost when its time is over.
--
-- What calls cost is not taken off the lots one by one: the sum of what is left in them is the settled balance, so whoever looks at the
-- lots first takes off the oldest what was charged since. Holds lie on the oldest money too; those that were there when a lot's time was
-- over (`pin`) keep that much of it until their calls end (semantics 41). Each time that this happens (`cut`, ms) a generation of calls
-- is over, and a call knows its own: whoever holds afterwards holds other money.

local MOST_LOTS = 200 -- so that none of this is ever long
local LIFE_DAYS = 365 -- of credits that no funding says more of
local LOT = "([^|;]+)|(%d+)|(%d+)|(%d+)|(%d+)"

-- Takes off the oldest lots what was charged since they were written; a charge that was taken back goes to the oldest one again.
local function catch_up(tenant, lots)
  local change = math.max(0, tenant.settled) - lots.left
  for _, lot in ipairs(lots) do
    local taken = math.max(change, -lot.left)
    lot.left, change = lot.left + taken, change - taken
  end
  if change > 0 then -- money of before there were lots, or given back when all of them were used up
    local expiry = tenant.lot > 0 and tenant.lot or tenant.now + LIFE_DAYS * DAY_MS
    lots[1] = { id = "before", left = change, expiry = expiry, amount = change, at = tenant.now }
    tenant.lot, lots.changed, tenant.changed = expiry, true, true
  end
  lots.left = math.max(0, tenant.settled)
end

local function lots_of(tenant)
  local lots = tenant.lots
  if not lots then
    local stored = redis.call("HGET", tenant.key, "lots") or "0 0 0;"
    local pin, cut, rows = string.match(stored, "^(%d+) (%d+) %d+;(.*)$")
    lots = { pin = tonumber(pin), cut = tonumber(cut), left = 0 }
    for id, left, expiry, amount, at in string.gmatch(rows, LOT) do
      lots[#lots + 1] = { id = id, left = tonumber(left), expiry = tonumber(expiry), amount = tonumber(amount), at = tonumber(at) }
      lots.left = lots.left + tonumber(left)
    end
    tenant.lots = lots
  end
  if lots.left ~= math.max(0, tenant.settled) then
    catch_up(tenant, lots)
  end
  return lots
end

-- Drops the lots that are used up, and notes when the next one's time is over; call it when lots have changed.
local function keep_lots(tenant, lots)
  local next_expiry, kept = 0, 0
  for n = 1, #lots do
    local lot = lots[n]
    lots[n] = nil
    if lot.left > 0 then
      kept = kept + 1
      lots[kept] = lot
      next_expiry = next_expiry == 0 and lot.expiry or math.min(next_expiry, lot.expiry)
    end
  end
  tenant.lot, lots.changed, tenant.changed = next_expiry, true, true
end

local function lots_text(tenant, lots)
  local rows = {}
  for n, lot in ipairs(lots) do
    rows[n] = string.format("%s|%.0f|%.0f|%.0f|%.0f", lot.id, lot.left, lot.expiry, lot.amount, lot.at)
  end
  return string.format("%.0f %.0f %.0f;%s", lots.pin, lots.cut, tenant.gen, table.concat(rows, ";"))
end

local function some_time_over(tenant)
  return tenant.lot > 0 and tenant.now >= tenant.lot
end

-- What is left of lots whose time is over and that no hold of then lies on.
local function free_of_over(tenant, lots)
  local free, before = 0, 0
  for _, lot in ipairs(lots) do
    local left = lot.left
    if lot.expiry <= tenant.now then
      lot.left = math.max(0, math.min(left, lots.pin - before))
      free = free + left - lot.left
    end
    before = before + left
  end
  lots.left = lots.left - free
  return free
end

-- Moves what nobody holds to `expired` once the credits' time is over; held money finishes its call (semantics 41).
local function lapse(tenant)
  if not some_time_over(tenant) then
    return
  end
  local lots, newly = lots_of(tenant), false
  for _, lot in ipairs(lots) do
    newly = newly or lot.left > 0 and lot.expiry > lots.cut and lot.expiry <= tenant.now
  end
  if newly then
    lots.pin, lots.cut, tenant.gen = tenant.held, tenant.now, tenant.gen + 1
  end
  local free = free_of_over(tenant, lots)
  keep_lots(tenant, lots)
  if free > 0 or newly then -- the archive must know a new generation, though all of it is held
    add_up(tenant, "expired", free)
    local line = enter(tenant, "LAPSE", "", 0 - free, 0, 0)
    detail(line, { lots = lots_text(tenant, lots) })
  end
end

-- Follows a hold that lies on money whose time is over.
local function follow_pin(tenant, call, change)
  if change ~= 0 and some_time_over(tenant) then
    local lots = lots_of(tenant)
    if (call.gen or 0) < tenant.gen then
      lots.pin, lots.changed = math.max(0, lots.pin + change), true
    end
  end
end

-- Puts a new lot behind the others. When there are very many, the money joins the newest, and both live as long as the longer one.
local function add_lot(tenant, id, amount, expiry)
  local lots = lots_of(tenant)
  local newest = lots[#lots]
  if #lots < MOST_LOTS then
    lots[#lots + 1] = { id = id, left = amount, expiry = expiry, amount = amount, at = tenant.now }
  else
    newest.left, newest.amount, newest.expiry = newest.left + amount, newest.amount + amount, math.max(newest.expiry, expiry)
  end
  lots.left = lots.left + amount
  return lots
end
