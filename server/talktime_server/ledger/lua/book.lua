-- What every script of the ledger shares: exact numbers, the clock, prices, the purse, the record of a call, the journal.
-- The script registry puts this text in front of each script; it does nothing by itself.
--
-- Numbers in Lua are doubles: whole micros are exact below 2^53. They go to the store and back to the caller as numbers, which the
-- server writes out with all their digits up to 10^17; `..` and tostring lose digits from 10^14 on.

local MOST = 9000000000000000 -- no balance passes 9 * 10^15, so sums of two stay exact
local MOST_AT_ONCE = 1000000000000 -- no operation moves more than 10^12
local MOST_SECONDS = 86400 -- no call is longer than a day
local MOST_DUE = 100 -- expired holds named at a time, so that no call to the store is long

-- Reads a whole number from an argument. Raises before anything was written when it is not one.
local function whole(argument, least, most)
  local number = string.match(argument, "^%-?%d+$") and #argument <= 17 and tonumber(argument)
  if not number or number < least or number > most then
    error("not a whole number within its bounds: " .. argument)
  end
  return number
end

-- Reads what the decisions need of a tenant. `now` never goes back, whatever the clock does (semantics 78).
local function read_tenant(key)
  local f = redis.call("HMGET", key, "pv", "pe", "hw", "v", "settled", "held", "spent", "lot")
  local time = redis.call("TIME")
  local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  return {
    key = key,
    profile = f[1],
    epoch = f[2] or "0",
    now = math.max(now, tonumber(f[3] or "0")),
    version = tonumber(f[4] or "0"),
    settled = tonumber(f[5] or "0"),
    held = tonumber(f[6] or "0"),
    spent = tonumber(f[7] or "0"),
    lot = tonumber(f[8] or "0"),
  }
end

-- Appends one line to the journal with the tenant's next version, and writes the tenant's money beside it. This is the first write of
-- each decision: a store out of memory refuses it, and so refuses the whole, where it would let a deletion through.
local function enter(tenant, journal, tenant_id, kind, reference, settled_delta, held_delta, seconds)
  tenant.version = tenant.version + 1
  tenant.settled = tenant.settled + settled_delta
  tenant.held = tenant.held + held_delta
  redis.call("HSET", tenant.key, "hw", tenant.now, "v", tenant.version, "settled", tenant.settled, "held", tenant.held,
    "spent", tenant.spent)
  redis.call("XADD", journal, "*", "t", tenant_id, "v", tenant.version, "k", kind, "r", reference,
    "s", settled_delta, "h", held_delta, "d", seconds, "at", tenant.now)
end

-- Moves what nobody holds to `expired` once the credits' time is over; held money finishes its call (semantics 41).
local function lapse(tenant, journal, tenant_id)
  local free = tenant.settled - tenant.held
  if tenant.lot > 0 and tenant.now >= tenant.lot and free > 0 then
    redis.call("HINCRBY", tenant.key, "expired", free)
    enter(tenant, journal, tenant_id, "LAPSE", "", -free, 0, 0)
  end
end

local function read_terms(rate, fee, initial, increment)
  return {
    rate = whole(rate, 0, 1e9),
    fee = whole(fee, 0, 1e9),
    initial = whole(initial, 1, 3600),
    increment = whole(increment, 1, 3600),
  }
end

-- Price of a talk time: the fee, and the rate for the billed seconds, rounded up once (semantics 33).
local function price(terms, seconds)
  if seconds <= 0 then
    return 0, 0
  end
  local steps = math.max(0, math.ceil((seconds - terms.initial) / terms.increment))
  local billed = terms.initial + steps * terms.increment
  local sixtieths = terms.rate * billed + 59
  return terms.fee + (sixtieths - sixtieths % 60) / 60, billed
end

-- The longest talk time up to `asked` that `money` pays, in whole steps where it has to be cut; 0 when not even the first.
local function affordable(terms, asked, money)
  money = math.min(money, MOST_AT_ONCE)
  local cost = price(terms, asked)
  if cost <= money then
    return asked, cost
  end
  local seconds = math.floor(60 * (money - terms.fee) / math.max(terms.rate, 1))
  if seconds < terms.initial then
    return 0, 0
  end
  local granted = terms.initial + math.floor((seconds - terms.initial) / terms.increment) * terms.increment
  return granted, (price(terms, granted))
end

-- Open calls of a payer and what they hold.
local function read_payer_use(busy, payer_id)
  local open, held = string.match(redis.call("HGET", busy, payer_id) or "0 0", "(%d+) (%d+)")
  return { open = tonumber(open), held = tonumber(held) }
end

local function write_payer_use(busy, payer_id, use)
  if use.open > 0 then
    redis.call("HSET", busy, payer_id, string.format("%.0f %.0f", use.open, use.held))
  else
    redis.call("HDEL", busy, payer_id)
  end
end

-- Money that a payer's call may hold: what is available, its own hold and its credit line included, or the payer's share of the
-- balance when that is less (semantics 28). Of nothing or less the share is nothing: then it is money that is missing.
local function purse(tenant, use, own, line, percent)
  local money = tenant.settled - tenant.held + own + line
  local balance = math.max(tenant.settled, 0)
  local part = math.floor(balance / 100) * percent + math.floor(balance % 100 * percent / 100) -- one product would not be exact
  local share = part - use.held + own + line
  if percent > 0 and share < money then
    return share, "CALL_LIMIT"
  end
  return money, "INSUFFICIENT_CREDITS"
end

-- What to hold for a talk time: the seconds, their price, and the refusal when it is too little (semantics 31, 32, 43).
local function hold_for(terms, asked, least, money, refusal)
  local granted, cost = 0, 0
  if money > 0 then
    granted, cost = affordable(terms, asked, money)
  end
  if granted == 0 or (granted < asked and granted < least) then
    return 0, 0, refusal
  end
  return granted, cost, ""
end

-- Calls of a tenant whose lease is over: their money is free as soon as somebody asks for it (semantics 27, 90). A lease that ends
-- at this very moment is not over: a call that cannot be expired yet would send its caller round in circles.
local function due_calls(open, now)
  return redis.call("ZRANGEBYSCORE", open, "-inf", string.format("(%.0f", now), "LIMIT", 0, MOST_DUE)
end

local function read_call(key)
  local stored = redis.call("GET", key)
  return stored and cmsgpack.unpack(stored)
end

local function write_call(key, call, ttl_seconds)
  if ttl_seconds > 0 then
    redis.call("SET", key, cmsgpack.pack(call), "EX", ttl_seconds)
  else
    redis.call("SET", key, cmsgpack.pack(call))
  end
end

-- Takes a call off the list of open ones and its hold off its payer; call it after the call's end is decided.
local function close(call_id, call, open, busy)
  redis.call("ZREM", open, call_id)
  local use = read_payer_use(busy, call.payer)
  use.open = use.open - 1
  use.held = use.held - call.held
  write_payer_use(busy, call.payer, use)
  call.held = 0
end

-- Shows a call to the caller: always the same places, empty where there is nothing.
local function view(word, call)
  return {
    word, call.state, call.facts, call.source, call.why or "", call.held, call.granted, call.lease,
    { call.terms.rate, call.terms.fee, call.terms.initial, call.terms.increment },
    call.first or {}, call.last or {}, call.done or {}, call.last_why or "",
  }
end

-- Runs `decide` for each operation of the batch. An operation that raises did so before it wrote, and harms no other.
local function each(keys_each, arguments_each, decide)
  local answers = {}
  for n = 0, #KEYS / keys_each - 1 do
    local given = {}
    for i = 1, keys_each do
      given[i] = KEYS[n * keys_each + i]
    end
    for i = 1, arguments_each do
      given[keys_each + i] = ARGV[n * arguments_each + i]
    end
    local fine, answer = pcall(decide, unpack(given))
    answers[n + 1] = fine and answer or { "error", type(answer) == "table" and (answer.err or "") or tostring(answer) }
  end
  return answers
end
