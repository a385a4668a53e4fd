-- The pools of included minutes, and the meters that count what is used of them. Shared by the scripts that hold and charge.

local SIXTY = 60 -- pools give whole minutes, a started one counts in full (domain.md 4)
local NOTHING_DRAWN = {} -- nobody changes what was drawn

-- A row of the meters, by its name.
local function meter(meters, name)
  local rows = book.meters[meters] or {}
  book.meters[meters] = rows
  local row = rows[name]
  if not row then
    local stored = redis.call("HGET", meters, name)
    local used, held, day = string.match(stored or "0 0 0", "(%d+) (%d+) (%d+)")
    row = { used = tonumber(used), held = tonumber(held), day = tonumber(day), fresh = not stored }
    rows[name] = row
  end
  return row
end

-- Licences that are assigned now: what they size follows them at once.
local function licenses(meters, counted)
  local rows = book.meters[meters] or {}
  book.meters[meters] = rows
  local name = "n:" .. counted
  rows[name] = rows[name] or { count = tonumber(redis.call("HGET", meters, name) or "0") }
  return rows[name].count
end

local function pool_row(meters, pool_id, month)
  return meter(meters, pool_id .. "@" .. text(month))
end

-- What is left of a pool: nothing as long as the pool that closes it is used up (domain.md 3).
local function room_in(meters, month, pool_id, counted, per, bought, other, other_per)
  local count = tonumber(bought)
  if counted ~= "" then
    count = math.max(count, licenses(meters, counted))
  end
  if other ~= "" then
    local row = pool_row(meters, other, month)
    if count * tonumber(other_per) <= row.used + row.held then
      return 0
    end
  end
  local row = pool_row(meters, pool_id, month)
  return math.max(0, count * tonumber(per) - row.used - row.held)
end

-- Spreads talk time over a call's pools, those it drew on before first: how much each gives in all, in whole minutes, and the talk time
-- that they cover together. `grow` lets it draw more than it has.
local function draw(meters, call, seconds, grow)
  if not (call.slices or grow and call.plan) then
    return NOTHING_DRAWN, 0
  end
  local drawn, place, left = {}, {}, seconds
  for _, slice in ipairs(call.slices or {}) do
    drawn[#drawn + 1] = { id = slice[1], room = slice[2] + slice[3] }
    place[slice[1]] = #drawn
  end
  if grow and call.plan then
    for id, counted, per, bought, other, other_per in string.gmatch(call.plan, "([^|;]+)|([^|]*)|(%d+)|(%d+)|([^|]*)|(%d+)") do
      place[id] = place[id] or #drawn + 1
      local slice = drawn[place[id]] or { id = id, room = 0 }
      slice.room = slice.room + room_in(meters, call.month, id, counted, per, bought, other, other_per)
      drawn[place[id]] = slice
    end
  end
  for _, slice in ipairs(drawn) do
    slice.takes = math.min(math.ceil(left / SIXTY) * SIXTY, slice.room)
    slice.talk = math.min(left, slice.takes)
    left = left - slice.talk
  end
  return drawn, seconds - left
end

-- Moves the minutes of a call to what was drawn: held for it, or charged to it when it is over. Returns how, for the journal.
local function move_pools(meters, call, drawn, charged, tenant)
  if not (call.slices or drawn[1]) then
    return nil
  end
  local slices, moved = {}, {}
  for _, slice in ipairs(drawn) do
    local had = { 0, 0 }
    for _, old in ipairs(call.slices or {}) do
      had = old[1] == slice.id and { old[2], old[3] } or had
    end
    local used = charged and slice.takes or had[2]
    local held = charged and 0 or math.max(0, slice.takes - had[2])
    if used + held > 0 then
      slices[#slices + 1] = { slice.id, held, used }
    end
    if used ~= had[2] or held ~= had[1] then
      local row = pool_row(meters, slice.id, call.month)
      row.used, row.held, row.changed = row.used + used - had[2], row.held + held - had[1], true
      row.day = math.floor(tenant.now / DAY_MS)
      moved[#moved + 1] = string.format("%s %.0f %.0f %.0f", slice.id, call.month, used - had[2], held - had[1])
    end
  end
  call.slices = #slices > 0 and slices or nil
  return #moved > 0 and table.concat(moved, ";") or nil
end

-- Gives the minutes back that a call holds; what it was charged before stays charged.
local function give_back(meters, call, tenant)
  local kept = {}
  for _, slice in ipairs(call.slices or {}) do
    kept[#kept + 1] = { id = slice[1], takes = slice[3] }
  end
  return move_pools(meters, call, kept, true, tenant)
end

-- Seconds of pools that a call was charged, in whole minutes.
local function minutes_charged(call)
  local seconds = 0
  for _, slice in ipairs(call.slices or {}) do
    seconds = seconds + slice[3]
  end
  return seconds
end
