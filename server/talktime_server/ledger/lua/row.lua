-- How a call is packed into a row, and unpacked. Shared by all scripts; it does nothing by itself.
--
-- A row: state, source, facts, price (4 numbers), seconds granted, answer, end; then, of calls that need them, what few of them have, by
-- its name, and what is held, until when, and by which profiles it may be extended. Receipts are the most that a store keeps, so they
-- have no names in them, and nothing that nobody asks for when a call is over for good.

local STATES = { "OPEN", "SETTLED", "RELEASED", "EXPIRED", "REFUSED" } -- and in records.py, in the same order
local SOURCES = { "", "INCLUDED", "EMERGENCY", "CREDITS", "POSTPAID", "CREDITS+POSTPAID" }
local IN_ROW = { state = true, source = true, facts = true, payer = true, terms = true, granted = true, first = true, done = true,
  held = true, lease = true, epoch = true }
local PAYER = "^[^\31]*\31([^\31]*)" -- the second of the facts

local STATE, SOURCE = {}, {}
for place, state in ipairs(STATES) do
  STATE[state] = place
end
for place, source in ipairs(SOURCES) do
  SOURCE[source] = place
end

-- What may pay for a call. Raises before anything was written when it is none of these.
local function known_source(source)
  return SOURCE[source] and source or error("no such source")
end

local function pack_call(call)
  local terms, more = call.terms, false
  for name, value in pairs(call) do
    if not IN_ROW[name] then
      more = more or {}
      more[name] = value
    end
  end
  local held, lease, epoch = call.held, call.lease, tonumber(call.epoch)
  if call.state ~= "OPEN" and call.state ~= "EXPIRED" then
    held, lease, epoch, more = nil, nil, nil, more or nil
  end
  return cmsgpack.pack({ STATE[call.state], SOURCE[call.source], call.facts, terms[1], terms[2], terms[3], terms[4], call.granted,
    call.first or false, call.done or false, more, held, lease, epoch })
end

-- A call as data versions before 5 kept it, all of it by its names: those before 4 the price too, and 4 of an ended one neither what it
-- holds nor until when (semantics 91).
local function of_names(packed)
  local call = cmsgpack.unpack(packed)
  local terms = call.terms
  if terms.rate then
    call.terms = { terms.rate, terms.fee, terms.initial, terms.increment }
  end
  call.held, call.lease = call.held or 0, call.lease or 0
  return call
end

local function unpack_call(packed)
  local first_byte = string.byte(packed)
  if first_byte < 0x90 or first_byte > 0x9f then
    return of_names(packed)
  end
  local state, source, facts, rate, fee, initial, increment, granted, first, done, more, held, lease, epoch = values(packed)
  local call = { state = STATES[state], source = SOURCES[source], facts = facts, payer = string.match(facts, PAYER),
    terms = { rate, fee, initial, increment }, granted = granted, first = first or nil, done = done or nil, held = held or 0,
    lease = lease or 0, epoch = epoch }
  for name, value in pairs(more or {}) do
    call[name] = value
  end
  return call
end
