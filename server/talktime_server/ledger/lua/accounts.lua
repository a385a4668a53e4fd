-- What is kept of a tenant's money, and of what each payer has open and has spent. Shared by all scripts; it does nothing by itself.

-- Days, months and seconds that are over count from 0 again.
local function of_now(use, now, month)
  if use.day ~= math.floor(now / DAY_MS) then
    use.day_spent, use.costly, use.told = 0, 0, 0
  end
  if use.month ~= month then
    use.month_spent = 0
  end
  return use
end

-- Reads what a payer has open and has spent. Data versions before 4 kept it as text, the first one two numbers alone (semantics 91).
local function read_use(stored, now, month)
  local open, held, day, day_spent, its_month, month_spent, costly, told, second, started
  if stored and string.find(stored, "^%d") then
    local numbers = {}
    for number in string.gmatch(stored, "%d+") do
      numbers[#numbers + 1] = tonumber(number)
    end
    open, held, day, day_spent, its_month, month_spent, costly, told, second, started = unpack(numbers)
  elseif stored then
    open, held, day, day_spent, its_month, month_spent, costly, told, second, started = values(stored)
  end
  local use = { open = open or 0, held = held or 0, day = day or 0, day_spent = day_spent or 0, month = its_month or 0,
    month_spent = month_spent or 0, costly = costly or 0, told = told or 0, second = second or 0, started = started or 0 }
  return of_now(use, now, month)
end

local function pack_use(use, tenant)
  return cmsgpack.pack({ use.open, use.held, math.floor(tenant.now / DAY_MS), use.day_spent, tenant.month, use.month_spent, use.costly,
    use.told, use.second, use.started })
end

-- A tenant's account: the numbers that decisions read and change, in one small record (account.py).
local ACCOUNT = "<dddddddddddddddddddddddd" -- 24 numbers

local function unpack_account(stored)
  local profile, epoch, mark, version, settled, held, spent, lot, invoiced, owed, gen, trigger, on_settled, due, open, open_held, day,
    day_spent, month, month_spent, costly, told, second, started = struct.unpack(ACCOUNT, stored)
  local use = { open = open, held = open_held, day = day, day_spent = day_spent, month = month, month_spent = month_spent, costly = costly,
    told = told, second = second, started = started }
  return { profile = profile, epoch = epoch, now = math.max(book.clock, mark), version = version, settled = settled, held = held,
    spent = spent, lot = lot, invoiced = invoiced, owed = owed, gen = gen, trigger = trigger, on_settled = on_settled, due = due,
    use = use, sums = {} }
end

local function pack_account(tenant)
  local use = tenant.use
  return struct.pack(ACCOUNT, tenant.profile or 0, tenant.epoch, tenant.now, tenant.version, tenant.settled, tenant.held, tenant.spent,
    tenant.lot, tenant.invoiced, tenant.owed, tenant.gen, tenant.trigger, tenant.on_settled, tenant.due, use.open, use.held,
    math.floor(tenant.now / DAY_MS), use.day_spent, tenant.month, use.month_spent, use.costly, use.told, use.second, use.started)
end

-- Of a tenant that has none yet.
local NEW_ACCOUNT = struct.pack(ACCOUNT, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)

-- Reads what the decisions need of a tenant, and keeps where its lines go. `now` never goes back, whatever the clock does (semantics 78).
local function read_tenant(key, account, tenant_id, journal, recharges)
  local tenant = book.tenants[key]
  if not tenant then
    tenant = unpack_account(fetch(account) or NEW_ACCOUNT)
    tenant.key, tenant.account, tenant.id, tenant.journal, tenant.recharges = key, account, tenant_id, journal, recharges
    tenant.profile = tenant.profile > 0 and tenant.profile or nil
    tenant.month = month_of(tenant.now)
    of_now(tenant.use, tenant.now, tenant.month)
    book.tenants[key] = tenant
  end
  return tenant
end

local function payer_version(key)
  book.versions[key] = book.versions[key] or tonumber(redis.call("HGET", key, "pv") or "0")
  return book.versions[key]
end

-- Open calls of a payer, what they hold, and what the payer spent.
local function payer_use(busy, payer_id, tenant)
  local uses = book.uses[busy] or { tenant = tenant, rows = {} }
  book.uses[busy] = uses
  local use = uses.rows[payer_id]
  if not use then
    use = read_use(redis.call("HGET", busy, payer_id), tenant.now, tenant.month)
    uses.rows[payer_id] = use
  end
  return use
end
