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
  local row = { STATE[call.state], SOURCE[call.source], call.facts, terms[1], terms[2], terms[3], terms[4], call.granted,
    call.first or false, call.done or false }
  if call.state == "OPEN" or call.state == "EXPIRED" then
    row[11], row[12], row[13], row[14] = more, call.held, call.lease, tonumber(call.epoch)
  elseif more then
    row[11] = more
  end
  return cmsgpack.pack(row)
end

-- A call as data versions before 5 kept it, all of it by its names: those before 4 the price too, and 4 of an ended one neither what it
-- holds nor until when (semantics 91).
local function of_names(call)
  local terms = call.terms
  if terms.rate then
    call.terms = { terms.rate, terms.fee, terms.initial, terms.increment }
  end
  call.held, call.lease = call.held or 0, call.lease or 0
  return call
end

local function unpack_call(packed)
  local row = cmsgpack.unpack(packed)
  if row.facts then
    return of_names(row)
  end
  local call = { state = STATES[row[1]], source = SOURCES[row[2]], facts = row[3], payer = string.match(row[3], PAYER),
    terms = { row[4], row[5], row[6], row[7] }, granted = row[8], first = row[9] or nil, done = row[10] or nil, held = row[12] or 0,
    lease = row[13] or 0, epoch = row[14] }
  for name, value in pairs(row[11] or {}) do
    call[name] = value
  end
  return call
end
