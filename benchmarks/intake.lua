-- Requests for wrk: bodies and paths made beforehand, each sent once and then again from the start.
-- The file holds, for each request, a line "METHOD PATH LENGTH" and then the body; all in memory before the first.

local requests = {}
local refused = 0
local nth = 0

function init(args)
   local file = assert(io.open(args[1], "rb"))
   local kind = args[2]
   local first = tonumber(args[3] or "0")
   while true do
      local line = file:read("*l")
      if not line then break end
      local method, path, length = line:match("^(%S+) (%S+) (%d+)$")
      local body = file:read(tonumber(length))
      local headers = { ["Content-Type"] = kind, ["Content-Length"] = length }
      requests[#requests + 1] = wrk.format(method, path, headers, body)
   end
   file:close()
   nth = first
end

function request()
   nth = nth + 1
   return requests[(nth - 1) % #requests + 1]
end

local counted = {}

function response(status, headers, body)
   counted[status] = (counted[status] or 0) + 1
   if status >= 400 and not (headers["Retry-After"] or headers["retry-after"]) then
      refused = refused + 1
   end
   statuses = ""
   for code, count in pairs(counted) do statuses = statuses .. code .. "=" .. count .. " " end
   without_retry = refused
end

local threads = {}

function setup(thread)
   threads[#threads + 1] = thread
end

function done(summary, latency, requests)
   local all = ""
   local bare = 0
   for _, thread in ipairs(threads) do
      all = all .. (thread:get("statuses") or "")
      bare = bare + (thread:get("without_retry") or 0)
   end
   io.write(string.format(
      "RESULT requests=%d microseconds=%d p50=%d p99=%d max=%d errors=%d without_retry=%d %s\n",
      summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency.max,
      summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout, bare, all))
end
