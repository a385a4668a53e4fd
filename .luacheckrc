-- The scripts run inside the store: Lua 5.1 without files or processes, and these names beside it.
local names = {
   "redis", "cjson", "cmsgpack", "bit", "struct", "KEYS", "ARGV",
   "assert", "error", "ipairs", "math", "next", "pairs", "pcall", "select",
   "string", "table", "tonumber", "tostring", "type", "unpack",
}

-- The store reads these in front of each script, so what they name is known to all of them.
local folder = "server/talktime_server/ledger/lua/"
local common = { "book.lua", "row.lua", "call.lua", "accounts.lua", "lots.lua", "pools.lua", "sources.lua", "leave.lua" }
local shared = {}
for _, file in ipairs(common) do
   for line in io.lines(folder .. file) do
      local name = line:match("^local function ([%w_]+)") or line:match("^local ([%w_]+)")
      if name ~= "book" and name ~= "operations" then -- which the scripts change
         shared[#shared + 1] = name
      end
   end
end

std = { read_globals = names }
read_globals = shared
globals = { "book", "operations" }
for _, file in ipairs(common) do
   files[folder .. file] = { ignore = { "211", "411" }, not_read_globals = shared }
end
max_line_length = 150
cache = false
