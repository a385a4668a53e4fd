-- The scripts run inside the store: Lua 5.1 without files or processes, and these names beside it.
local names = {
   "redis", "cjson", "cmsgpack", "bit", "struct", "KEYS", "ARGV",
   "assert", "error", "ipairs", "math", "next", "pairs", "pcall", "select",
   "string", "table", "tonumber", "tostring", "type", "unpack",
}

-- The store reads book.lua in front of each script, so what it names is known to all of them.
local folder = "server/talktime_server/ledger/lua/"
local shared = {}
for line in io.lines(folder .. "book.lua") do
   local name = line:match("^local function ([%w_]+)") or line:match("^local ([%w_]+) =")
   shared[#shared + 1] = name
end

std = { read_globals = names }
read_globals = shared
files[folder .. "book.lua"] = { ignore = { "211" }, not_read_globals = shared }
max_line_length = 150
cache = false
