-- Carries out operations on calls, of all kinds and tenants, in the order in which they were asked.
--
-- A script, because each judgement and its writes must be one step; one script for all kinds, because they follow each other.
--
-- KEYS, for each operation: as many as its kind takes (authorize.lua, extend.lua, settle.lua, release.lua, expire.lua)
-- ARGV: for each operation its kind and what that takes, packed; then how they belong together: "" (each for itself), "any" (in one
--   step), or "all" (in one step, and each is to be granted or none)
-- Returns, for each operation, what its kind returns; "behind" when one of the same tenant before it must be asked again: so must this one
--   be, after that. Of operations in one step, nothing was done as long as one is neither "new" nor "replay".

local AGAIN = { stale = true, due = true, judge = true, absent = true }

local function asking(at, kind, ...)
  local operation = operations[kind]
  return { operation = operation, given = { ... }, names = { unpack(KEYS, at, at + operation.keys - 1) } }
end

local function asked()
  local asks, at = {}, 1
  for n = 1, #ARGV - 1 do
    asks[n] = asking(at, values(ARGV[n]))
    at = at + #asks[n].names
  end
  return asks
end

-- Reads in one command what each operation will ask for: the account of its tenant, and its call.
local function read_ahead(asks)
  local command = { "MGET" }
  for _, ask in ipairs(asks) do
    command[#command + 1], command[#command + 2] = ask.names[2], ask.names[4]
  end
  for n, stored in ipairs(redis.call(unpack(command))) do
    book.fetched[command[n + 1]] = stored
  end
end

local function judge(asks, apart)
  open_book()
  read_ahead(asks)
  local answers, waits = {}, {}
  for n, ask in ipairs(asks) do
    local tenant_key = ask.names[1]
    local answer = waits[tenant_key] or judgement(ask.operation.judge, ask.names, ask.given)
    if apart and AGAIN[answer[1]] then
      waits[tenant_key] = { "behind" }
    end
    answers[n] = answer
  end
  return answers
end

-- A call that was settled before it was authorized has no first answer: it is over.
local function granted(answer)
  local call = unpack_call(answer[2])
  return call.state ~= "REFUSED" and call.first ~= nil
end

-- All or none: when one leg is refused, the others are too, and nothing that was held for them ever was.
local function agree(asks, answers, mode)
  local decided, refused, grants = true, false, {}
  for n, answer in ipairs(answers) do
    decided = decided and (answer[1] == "new" or answer[1] == "replay")
    grants[n] = decided and granted(answer)
    refused = refused or not grants[n]
  end
  if not decided then
    open_book()
  elseif mode == "all" and refused then
    for n, ask in ipairs(asks) do
      if grants[n] then
        ask.given[7] = "BATCH_REFUSED"
      elseif answers[n][1] == "new" then
        ask.given[7] = unpack_call(answers[n][2]).why
      end
    end
    return judge(asks, false)
  end
  return answers
end

local mode, asks = ARGV[#ARGV], asked()
local answers = judge(asks, mode == "")
if mode ~= "" then
  answers = agree(asks, answers, mode)
end
leave()
return answers
