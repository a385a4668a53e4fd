-- What every script of the ledger shares: exact numbers, the clock, the records it reads, and their writes, which leave together.
-- The script registry puts this text in front of each script; it does nothing by itself.
--
-- A batch is judged in order against what it has read once; what an operation changes, the next one sees. All writes leave at the end,
-- so that many operations of one tenant cost one write of its record, and so that a batch that must not happen leaves no trace.
--
-- Numbers in Lua are doubles: whole micros are exact below 2^53. They go to the store and back to the caller as numbers, which the
-- server writes out with all their digits up to 10^17; `..` and tostring lose digits from 10^14 on, so text() is for those.

local MOST = 9000000000000000 -- no balance passes 9 * 10^15, so sums of two stay exact
local MOST_AT_ONCE = 1000000000000 -- no operation moves more than 10^12
local MOST_SECONDS = 86400 -- no call is longer than a day
local MOST_DUE = 100 -- expired holds named at a time, so that no call to the store is long
local DAY_MS = 86400000
local CONFERENCE_DAYS = 2 -- how long a conference's budget is remembered after its last change

local book -- what this batch has read and will write
local operations = {} -- what calls.lua carries out: of each kind, how many keys it takes, and its judgement

local function open_book()
  local time = redis.call("TIME")
  book = { clock = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000), tenants = {}, uses = {}, meters = {}, calls = {},
    open = {}, lines = {}, versions = {}, receipts = {}, fetched = {} }
end

-- The values of a packed list, for names to take: a table of them would be made anew each time that it outgrows itself.
local function values(packed)
  return select(2, cmsgpack.unpack_limit(packed, 64, string.byte(packed) < 0xa0 and 1 or 3)) -- what comes before them is their number
end

local function text(number)
  return string.format("%.0f", number)
end

-- Reads a whole number from an argument. Raises before anything was written when it is not one.
local function whole(argument, least, most)
  local number = string.match(argument, "^%-?%d+$") and #argument <= 17 and tonumber(argument)
  if not number or number < least or number > most then
    error("not a whole number within its bounds: " .. argument)
  end
  return number
end

-- The same of a number that came packed.
local function within(number, least, most)
  if type(number) ~= "number" or number % 1 ~= 0 or number < least or number > most then
    error("not a whole number within its bounds")
  end
  return number
end

-- The calendar month (UTC) of an instant, as 202611. Counted in cycles of four years from 1968-03-01, so right until February 2100.
local function month_of(ms)
  local days = math.floor(ms / DAY_MS) + 671
  local cycle = days % 1461
  local years = math.min(math.floor(cycle / 365), 3)
  local march = math.floor((5 * (cycle - 365 * years) + 2) / 153) -- months since March
  local year = 1968 + 4 * math.floor(days / 1461) + years
  return march < 10 and year * 100 + march + 3 or (year + 1) * 100 + march - 9
end

-- A record that was read ahead, or is read now.
local function fetch(key)
  local stored = book.fetched[key]
  if stored == nil then
    stored = redis.call("GET", key)
  end
  return stored
end

-- Appends one line to the journal with the tenant's next version, and moves the tenant's money with it: credits, and what goes to the
-- invoice. `pools` says how minutes moved, or is nil.
local function enter(tenant, kind, reference, settled_delta, held_delta, seconds, pools, invoiced_delta, owed_delta)
  tenant.version, tenant.changed = tenant.version + 1, true
  tenant.settled, tenant.held = tenant.settled + settled_delta, tenant.held + held_delta
  tenant.invoiced, tenant.owed = tenant.invoiced + (invoiced_delta or 0), tenant.owed + (owed_delta or 0)
  local entry = { tenant.id, tenant.version, kind, reference, settled_delta, held_delta, seconds, tenant.now, pools or "",
    invoiced_delta or 0, owed_delta or 0 }
  local line = { "XADD", tenant.journal, "*", "e", cmsgpack.pack(entry), nil, nil } -- with room for what else is said on it
  book.lines[#book.lines + 1] = line
  return line
end

-- Says on a line what its numbers do not.
local function detail(line, details)
  line[#line + 1], line[#line + 2] = "b", cmsgpack.pack(details)
end

-- Adds to a sum that decisions do not read.
local function add_up(tenant, sum, amount)
  tenant.sums[sum] = (tenant.sums[sum] or 0) + amount
end

-- Watches the balance from now on: `trigger` is micros, with "s" in front when the settled balance is meant; empty watches nothing.
local function arm(tenant, trigger)
  local basis, micros = string.match(trigger, "^(s?)(%d+)$")
  tenant.trigger, tenant.on_settled, tenant.changed = tonumber(micros or "-1"), basis == "s" and 1 or 0, true
end

-- Takes a name out of a table. Not to be done to one that is not there: Lua would first make room for it.
local function forget(table, name)
  if table[name] ~= nil then
    table[name] = nil
  end
end

-- What this batch adds to a tenant's open calls and takes away.
local function open_calls(open)
  local calls = book.open[open]
  if not calls then
    calls = { added = {}, ended = {}, delta = 0 }
    book.open[open] = calls
  end
  return calls
end

local function count_open(open)
  local calls = open_calls(open)
  calls.count = calls.count or redis.call("ZCARD", open)
  return calls.count + calls.delta
end

-- The shard's index already names a tenant whose account says when it is due, and not later than that.
local function keep_open(tenant, open, due, call_id, lease, more)
  local calls = open_calls(open)
  calls.delta, calls.added[call_id] = calls.delta + more, lease
  forget(calls.ended, call_id)
  if tenant.due == 0 or lease < tenant.due then
    tenant.due, calls.due, calls.tenant_id, calls.earliest = lease, due, tenant.id, lease
  end
end

local function end_open(open, call_id)
  local calls = open_calls(open)
  calls.delta, calls.ended[call_id] = calls.delta - 1, true
  forget(calls.added, call_id)
end

-- Has the shard's index point at the tenant's next lease, and takes a call off the list that is not open any more.
local function sweep(tenant, open, due, gone)
  local calls = open_calls(open)
  calls.due, calls.tenant_id, calls.swept = due, tenant.id, true
  tenant.due, tenant.changed = 0, true
  if gone then
    calls.ended[gone] = true
  end
end

-- Calls of a tenant whose lease is over: their money is free as soon as somebody asks for it (semantics 27, 90). A lease that ends
-- at this very moment is not over: a call that cannot be expired yet would send its caller round in circles.
local function due_calls(open, now)
  return redis.call("ZRANGEBYSCORE", open, "-inf", string.format("(%.0f", now), "LIMIT", 0, MOST_DUE)
end
