-- How a call is kept. Shared by all scripts; it does nothing by itself.

-- Of a call that is over for good nobody asks what it holds, until when, or by which profiles it may be extended. Receipts are the most
-- that a store keeps, so what they do not need is left out.
local function pack_call(call)
  local held, lease, epoch = call.held, call.lease, call.epoch
  if call.state ~= "OPEN" and call.state ~= "EXPIRED" then
    call.held, call.lease, call.epoch = nil, nil, nil
  end
  local packed = cmsgpack.pack(call)
  call.held, call.lease, call.epoch = held, lease, epoch
  return packed
end

-- Calls of data versions before 4 name the parts of their price (semantics 91).
local function unpack_call(packed)
  local call = cmsgpack.unpack(packed)
  local terms = call.terms
  if terms.rate then
    call.terms = { terms.rate, terms.fee, terms.initial, terms.increment }
  end
  call.held, call.lease = call.held or 0, call.lease or 0
  return call
end

-- A call, and how it is kept: that is how callers are shown it.
local function read_call(key)
  local known = book.calls[key]
  if known then
    return known.call, known.packed
  end
  local stored = fetch(key)
  return stored and unpack_call(stored), stored
end

-- Keeps a call: an open one (ttl 0) until it ends, the receipt of an ended one for its life. `line` is the line about it, which takes a
-- copy along for the archive; a refusal has none. Returns the answer to who asked.
local function write_call(key, call, ttl_seconds, line)
  local packed = pack_call(call)
  book.calls[key] = { call = call, packed = packed, ttl = ttl_seconds, line = line }
  return { "new", packed }
end

-- Takes a call off the list of open ones, with its payer's count of them; call it once its end is decided.
local function close(call_id, open, use)
  end_open(open, call_id)
  use.open, use.changed = use.open - 1, true
end
