-- What pays for a call: its pools in order, then credits, then the invoice; and the limits on all of it. Shared by the scripts that hold
-- and charge; nothing here changes anything but what it is told to move.

-- A price, as calls keep it: micros and seconds.
local RATE = 1
local FEE = 2
local INITIAL = 3
local INCREMENT = 4

local function read_terms(rate, fee, initial, increment)
  return { within(rate, 0, 1e9), within(fee, 0, 1e9), within(initial, 1, 3600), within(increment, 1, 3600) }
end

-- Price of a talk time: the fee, and the rate for the billed seconds, rounded up once (semantics 33). The fee falls due at the start of the
-- call, so it is not for money that comes in after a pool.
local function price(terms, seconds, fee)
  if seconds <= 0 then
    return 0, 0
  end
  local steps = math.max(0, math.ceil((seconds - terms[INITIAL]) / terms[INCREMENT]))
  local billed = terms[INITIAL] + steps * terms[INCREMENT]
  local sixtieths = terms[RATE] * billed + 59
  return fee + (sixtieths - sixtieths % 60) / 60, billed
end

-- The longest talk time up to `asked` that `money` pays, in whole steps where it has to be cut; 0 when not even the first.
local function affordable(terms, asked, money, fee)
  money = math.min(money, MOST_AT_ONCE)
  local cost = price(terms, asked, fee)
  if cost <= money then
    return asked, cost
  end
  local seconds = math.floor(60 * (money - fee) / math.max(terms[RATE], 1))
  if seconds < terms[INITIAL] then
    return 0, 0
  end
  local granted = terms[INITIAL] + math.floor((seconds - terms[INITIAL]) / terms[INCREMENT]) * terms[INCREMENT]
  return granted, (price(terms, granted, fee))
end

-- What pays first after pools, and which sources of a call have the one and the other kind of money in them.
local FIRST = { INCLUDED = "INCLUDED", EMERGENCY = "EMERGENCY", CREDITS = "CREDITS", POSTPAID = "POSTPAID", ["CREDITS+POSTPAID"] = "CREDITS" }
local CREDITS = { CREDITS = true, ["CREDITS+POSTPAID"] = true }
local POSTPAID = { POSTPAID = true, ["CREDITS+POSTPAID"] = true }

-- What paid which stretch; nil for a call with one source, which says it all: free, or the credits of its row.
local function split_of(call, drawn, talk, rest, credits, invoiced, in_row)
  local kind = FIRST[call.source]
  if talk == 0 and invoiced == 0 and credits == in_row and kind and kind ~= "POSTPAID" then
    return nil
  end
  local split, cost = {}, credits + invoiced
  for _, slice in ipairs(drawn) do
    if slice.talk > 0 then
      split[#split + 1] = { slice.id, slice.talk, 0 }
    end
  end
  local by_credits = invoiced == 0 and rest or math.floor(rest * credits / cost)
  if credits > 0 or (rest > 0 and invoiced == 0 and kind == "CREDITS") then
    split[#split + 1] = { "CREDITS", by_credits, credits }
  end
  if invoiced > 0 or (rest > 0 and credits == 0 and kind == "POSTPAID") then
    by_credits = credits > 0 and by_credits or 0
    split[#split + 1] = { "POSTPAID", rest - by_credits, invoiced }
  end
  return split
end

-- Says out what paid, before another source takes its place on the call: an answer that was given stays as it was.
local function say_splits(call)
  local kind, first, last, done = FIRST[call.source], call.first, call.last, call.done
  if kind == "CREDITS" or kind == "POSTPAID" then
    call.first_split = call.first_split or { { kind, first[1], first[2] } }
    if last and not call.last_why then
      call.last_split = call.last_split or { { kind, last[3], last[10] } }
    end
    if done and done[1] > 0 then
      call.done_split = call.done_split or { { kind, done[1], done[3] } }
    end
  end
end

-- Credits and invoice that a call was charged before, as an orphan.
local function charged_before(call)
  if call.done then
    return call.done[3], call.done[13] or 0
  end
  return 0, 0
end

local function is_free(call)
  return call.source == "EMERGENCY" or call.source == "INCLUDED"
end

local function may_pay(call, kind)
  return kind[call.source] == true
end

-- Limits of the tenant and of the payer: open calls, calls in a second, spend in a day and in a month, costly calls in a day; 0 is none.
local NO_LIMIT = { open = 0, rate = 0, day = 0, month = 0, costly = 0 }
local LIMITS = "(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+)"

local function read_limits(argument)
  if argument == "" then
    return { tenant = NO_LIMIT, payer = NO_LIMIT, percent = 0, window = 1, given = false }
  end
  local to, tr, td, tm, tc, po, pr, pd, pm, pc, percent, window = string.match(argument, LIMITS)
  return {
    tenant = { open = tonumber(to), rate = tonumber(tr), day = tonumber(td), month = tonumber(tm), costly = tonumber(tc) },
    payer = { open = tonumber(po), rate = tonumber(pr), day = tonumber(pd), month = tonumber(pm), costly = tonumber(pc) },
    percent = tonumber(percent),
    given = true,
    window = tonumber(window), -- seconds in which the payer's calls are counted
  }
end

-- What a limit on spend leaves: what was spent and all that is held count.
local function left_below(limit, use, held)
  local left, which = math.huge, ""
  if limit.day > 0 then
    left, which = limit.day - use.day_spent - held, "day"
  end
  if limit.month > 0 and limit.month - use.month_spent - held < left then
    left, which = limit.month - use.month_spent - held, "month"
  end
  return left, which
end

-- The least of what the limits on spend and the conference's budget leave, whose it is, and which.
local function least_left(tenant, use, call, limits, budget)
  local left, which = left_below(limits.tenant, tenant.use, tenant.held + tenant.owed)
  local whose = "tenant"
  local payer_left, payer_which = left_below(limits.payer, use, use.held)
  if payer_left < left then
    left, whose, which = payer_left, "payer", payer_which
  end
  if budget and call.budget - budget.used - budget.held < left then
    left, whose, which = call.budget - budget.used - budget.held, "conference", "budget"
  end
  return left, whose, which
end

-- A limit that is reached is told once a day, to be noticed: a line of the journal names whose it is.
local function tell(tenant, payer_id, use, whose)
  local row = whose == "tenant" and tenant.use or use
  if whose ~= "conference" and row.told == 0 then
    row.told, use.changed = 1, true
    enter(tenant, "LIMIT", row == use and payer_id or "", 0, 0, 0)
  end
end

-- Money that a call may hold: of credits, what is available, its own hold and its credit line included, or the payer's share of the balance
-- when that is less (semantics 28; of nothing or less the share is nothing: then it is money that is missing); in all, that or, with an
-- invoice behind it, as much as the limits on spend leave.
local function purse(tenant, use, call, limits, budget)
  local own, line = call.held + (call.owed or 0), call.line or 0
  local credits, short = 0, "INSUFFICIENT_CREDITS"
  if may_pay(call, CREDITS) then
    credits = tenant.settled - tenant.held + call.held + line
  end
  if limits.percent > 0 then
    local balance = math.max(tenant.settled, 0)
    local part = math.floor(balance / 100) * limits.percent + math.floor(balance % 100 * limits.percent / 100) -- one product would not be exact
    if part - use.held + own + line < credits then
      credits, short, limits.named = part - use.held + own + line, "CALL_LIMIT", "payer share"
    end
  end
  local most = may_pay(call, POSTPAID) and MOST_AT_ONCE or credits
  if limits.given or budget then
    local left, whose, which = least_left(tenant, use, call, limits, budget)
    if left + own < most then
      most, short, limits.reached, limits.named = left + own, "SPEND_LIMIT", whose, string.format("%s %s", whose, which)
    end
  end
  return math.max(0, credits), most, short
end

-- What to hold for a talk time that costs nothing.
local function for_nothing(granted, why)
  return { drawn = NOTHING_DRAWN, granted = granted, talk = 0, rest = 0, credits = 0, invoiced = 0, why = why }
end

-- What to hold for a talk time: from the pools, then from the purse; and the refusal when it is too little (semantics 31, 32, 39, 43). Money
-- that the call was charged before counts.
local function cover(tenant, use, meters, call, asked, limits, budget)
  local drawn, talk = draw(meters, call, asked, true)
  local rest, paid, invoiced = asked - talk, charged_before(call)
  local held = { drawn = drawn, granted = talk, talk = talk, rest = 0, credits = 0, invoiced = 0, why = "" }
  if rest > 0 and not (may_pay(call, CREDITS) or may_pay(call, POSTPAID)) then
    held.why = call.short
  elseif rest > 0 then
    local credits, most, short = purse(tenant, use, call, limits, budget)
    local cost = 0
    if most + paid + invoiced > 0 then
      held.rest, cost = affordable(call.terms, rest, most + paid + invoiced, talk > 0 and 0 or call.terms[FEE])
    end
    held.why = held.rest < rest and short or ""
    held.credits = math.min(cost, credits + paid)
    held.invoiced, held.granted = cost - held.credits, talk + held.rest
  end
  return held
end

local function add_spent(use, of_day, of_month)
  use.day_spent, use.month_spent = math.max(0, use.day_spent + of_day), math.max(0, use.month_spent + of_month)
end

-- Adds a charge to what the tenant, the payer and the conference spent. One that is taken back is taken off the day and the month that it
-- was made in, as long as that is not over.
local function spend(tenant, use, budget, charge, before)
  local today = charge >= 0 or math.floor(before[10] / DAY_MS) == math.floor(tenant.now / DAY_MS)
  local this_month = charge >= 0 or month_of(before[10]) == tenant.month
  add_spent(tenant.use, today and charge or 0, this_month and charge or 0)
  add_spent(use, today and charge or 0, this_month and charge or 0)
  use.changed = true
  if budget then
    budget.used = math.max(0, budget.used + charge)
  end
end

-- Changes what is held for a call, with all that counts it.
local function hold(tenant, use, budget, call, held, owed)
  local change = held - call.held + owed - (call.owed or 0)
  follow_pin(tenant, call, held - call.held)
  use.held, use.changed = use.held + change, true
  if budget then
    budget.held, budget.changed, budget.day = budget.held + change, true, math.floor(tenant.now / DAY_MS)
  end
  call.held = held
  if call.owed or owed > 0 then
    call.owed = owed > 0 and owed or nil
  end
end

-- The row of the conference's budget that a call counts for, if any. A conference that nobody spoke of for some days is another one: its
-- budget counts from nothing again.
local function budget_of(meters, call, tenant)
  if call.conference then
    local conference = call.conference
    local row = meter(meters, "c:" .. conference)
    if row.held == 0 and row.day + CONFERENCE_DAYS < math.floor(tenant.now / DAY_MS) then
      row.used = 0
    end
    return row
  end
end
