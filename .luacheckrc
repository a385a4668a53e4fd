-- The scripts run inside the store: Lua 5.1 without files or processes, and these names beside it.
std = {
   read_globals = {
      "KEYS", "ARGV", "redis", "server", "cjson", "cmsgpack", "bit", "struct",
      "assert", "error", "ipairs", "math", "next", "pairs", "pcall", "select",
      "string", "table", "tonumber", "tostring", "type", "unpack",
   },
}
max_line_length = 120
cache = false
