-- A call in the store. Shared by all scripts; it does nothing by itself.

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
