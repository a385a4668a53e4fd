-- How the writes of a batch leave (see book.lua): accounts, calls and the journal first, for a store out of memory refuses those, and so
-- refuses the whole, where it would let a deletion through.

local POOL_DAYS = 100 -- how long a row of minutes is of use after its last change
local LOOKED_AT = 4 -- old rows looked for when a new one is made: more than one, so that they never pile up

-- One dip below the trigger is one recharge: the claim is taken with the write that made the dip, whoever made it (semantics 47, 48).
-- The recharge's worker finds the tenant in the shard's index.
local function claim(tenant)
  local balance = tenant.on_settled == 1 and tenant.settled or tenant.settled - tenant.held
  if balance < tenant.trigger then
    local epoch = tonumber(redis.call("HGET", tenant.key, "re") or "0") + 1
    arm(tenant, "")
    detail(enter(tenant, "RECHARGE", "", 0, 0, 0), { state = "CLAIMED", re = epoch, rt = "" })
    book.lines[#book.lines + 1] = { "HSET", tenant.key, "re", epoch }
    book.lines[#book.lines + 1] = { "ZADD", tenant.recharges, tenant.now, tenant.id }
  end
end

local function claim_recharges()
  for _, tenant in pairs(book.tenants) do
    if tenant.changed and tenant.trigger >= 0 and tenant.recharges then
      claim(tenant)
    end
  end
end

-- What decisions do not read stands apart from the account.
local function write_sums(tenant)
  if tenant.lots and tenant.lots.changed then
    redis.call("HSET", tenant.key, "lots", lots_text(tenant, tenant.lots))
  end
  for sum, amount in pairs(tenant.sums) do
    redis.call("HINCRBY", tenant.key, sum, amount)
  end
end

-- The line about a call takes the call along as it is now: what is open can be put back from the archive, and what ended is told by it.
local function copy_calls()
  for _, kept in pairs(book.calls) do
    local line = kept.line
    if line then
      line[#line + 1], line[#line + 2] = "c", kept.packed
    end
  end
end

-- Accounts and open calls in one command.
local function write_records()
  local records = { "MSET" }
  for _, tenant in pairs(book.tenants) do
    if tenant.changed then
      records[#records + 1], records[#records + 2] = tenant.account, pack_account(tenant)
    end
  end
  for key, kept in pairs(book.calls) do
    if kept.ttl == 0 then
      records[#records + 1], records[#records + 2] = key, kept.packed
    end
  end
  if #records > 1 then
    redis.call(unpack(records))
  end
end

local function write_receipts()
  for key, kept in pairs(book.calls) do
    if kept.ttl > 0 then
      redis.call("SET", key, kept.packed, "EX", kept.ttl)
    end
  end
end

-- The shard's index names each tenant with its earliest lease, or earlier: never later, or a hold would be forgotten.
local function point_at_next(open, due, tenant_id)
  local head = redis.call("ZRANGE", open, 0, 0, "WITHSCORES")
  if head[1] then
    redis.call("ZADD", due, head[2], tenant_id)
  else
    redis.call("ZREM", due, tenant_id)
  end
end

local function write_open(open, calls)
  local added, ended = { "ZADD", open }, { "ZREM", open }
  for call_id, lease in pairs(calls.added) do
    added[#added + 1], added[#added + 2] = lease, call_id
  end
  for call_id in pairs(calls.ended) do
    ended[#ended + 1] = call_id
  end
  if #added > 2 then
    redis.call(unpack(added))
  end
  if #ended > 2 then
    redis.call(unpack(ended))
  end
  if calls.swept then
    point_at_next(open, calls.due, calls.tenant_id)
  elseif calls.earliest then
    redis.call("ZADD", calls.due, "LT", calls.earliest, calls.tenant_id)
  end
end

-- A row that says nothing any more is dropped: no open call, nothing spent, told or counted that a limit could ask for. The row of calls
-- to unassigned numbers, which counts by the minute, always stays.
local function says_something(payer_id, use, now)
  return use.open + use.month_spent + use.costly + use.told > 0 or use.second >= math.floor(now / 1000) or payer_id == ""
end

local function write_uses(busy, uses)
  local kept, idle = { "HSET", busy }, { "HDEL", busy }
  for payer_id, use in pairs(uses.rows) do
    if use.changed and says_something(payer_id, use, uses.tenant.now) then
      kept[#kept + 1], kept[#kept + 2] = payer_id, pack_use(use, uses.tenant)
    elseif use.changed then
      idle[#idle + 1] = payer_id
    end
  end
  for _, command in ipairs({ kept, idle }) do
    if #command > 2 then
      redis.call(unpack(command))
    end
  end
end

-- Drops rows that nobody will ask for again, a few at a time.
local function prune(meters, today)
  local rows = redis.call("HRANDFIELD", meters, LOOKED_AT, "WITHVALUES")
  for i = 1, #rows, 2 do
    local held, day = string.match(rows[i + 1], "%d+ (%d+) (%d+)")
    local days = string.sub(rows[i], 1, 2) == "c:" and CONFERENCE_DAYS or POOL_DAYS
    if day and held == "0" and tonumber(day) + days < today then
      redis.call("HDEL", meters, rows[i])
    end
  end
end

local function write_meters(meters, rows)
  local command, fresh, today = { "HSET", meters }, false, 0
  for name, row in pairs(rows) do
    if row.changed then
      command[#command + 1], command[#command + 2] = name, string.format("%.0f %.0f %.0f", row.used, row.held, row.day)
      fresh, today = fresh or row.fresh, row.day
    end
  end
  if fresh then
    prune(meters, today)
  end
  if #command > 2 then
    redis.call(unpack(command))
  end
end

local function leave()
  claim_recharges()
  copy_calls()
  write_records()
  for _, tenant in pairs(book.tenants) do
    write_sums(tenant)
  end
  for _, line in ipairs(book.lines) do
    redis.call(unpack(line))
  end
  write_receipts()
  for busy, uses in pairs(book.uses) do
    write_uses(busy, uses)
  end
  for meters, rows in pairs(book.meters) do
    write_meters(meters, rows)
  end
  for open, calls in pairs(book.open) do
    write_open(open, calls)
  end
end

-- What a judgement says, or what was wrong with it: one that raises did so before it changed anything, and harms no other.
local function judgement(judge, ...)
  local fine, answer = pcall(judge, ...)
  return fine and answer or { "error", type(answer) == "table" and (answer.err or "") or tostring(answer) }
end

-- Judges each operation of a batch of one kind by `judge`, then writes.
local function each(keys_each, arguments_each, judge)
  open_book()
  local answers = {}
  for n = 0, #KEYS / keys_each - 1 do
    local given = {}
    for i = 1, keys_each do
      given[i] = KEYS[n * keys_each + i]
    end
    for i = 1, arguments_each do
      given[keys_each + i] = ARGV[n * arguments_each + i]
    end
    answers[n + 1] = judgement(judge, unpack(given))
  end
  leave()
  return answers
end
