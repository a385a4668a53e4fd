-- Brings tenants to data version 4.
--
-- The numbers of the hash go into an account, and the hash moves to another key: a process of an older version that still runs finds no
-- tenant, instead of one without money.
--
-- A script, because the account must be all that the hash said, at the moment when the hash stops saying it.
--
-- KEYS, for each operation: the tenant's hash of before, its hash, its account
-- ARGV, for each operation: none
-- Returns, for each operation: "new"; "same" when there is nothing to be done any more.

local FIELDS = { "pv", "pe", "hw", "v", "settled", "held", "spent", "lot", "invoiced", "owed", "gen", "rt", "use" }

local function open_account(old, tenant_key, account_key)
  if redis.call("EXISTS", old) == 0 or redis.call("EXISTS", account_key, tenant_key) > 0 then
    return { "same" }
  end
  local f = redis.call("HMGET", old, unpack(FIELDS))
  local tenant = { now = tonumber(f[3] or "0"), gen = tonumber(f[11] or "0"), due = 0, sums = {} }
  for n, name in ipairs({ "profile", "epoch", "now", "version", "settled", "held", "spent", "lot", "invoiced", "owed" }) do
    tenant[name] = tonumber(f[n] or "0")
  end
  tenant.month = month_of(tenant.now)
  tenant.use = read_use(f[13], tenant.now, tenant.month)

  -- After this point it must succeed.
  arm(tenant, f[12] or "")
  redis.call("SET", account_key, pack_account(tenant))
  redis.call("HDEL", old, "pe", "hw", "v", "settled", "held", "spent", "lot", "invoiced", "owed", "gen", "rt", "use")
  redis.call("RENAME", old, tenant_key)
  return { "new" }
end

return each(3, 0, open_account)
