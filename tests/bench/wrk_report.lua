-- wrk's script: the requests of the command line in rotation, and a result for a program to read.
--   wrk … -s wrk_report.lua URL -- METHOD PATH BODY [METHOD PATH BODY]…        (BODY may be empty)
-- One request alone is sent without a global request(): the same bytes each time, and wrk never enters
-- Lua under load.

local json = { ["Content-Type"] = "application/json" }

local function format(method, path, body)
   if body == nil or body == "" then
      return wrk.format(method, path)
   end
   return wrk.format(method, path, json, body)
end

local function rotate(requests)
   local turn = 0
   function request()
      turn = turn % #requests + 1
      return requests[turn]
   end
end

function init(args)
   if #args > 3 then
      local requests = {}
      for i = 1, #args, 3 do
         requests[#requests + 1] = format(args[i], args[i + 1], args[i + 2])
      end
      rotate(requests)
      return
   end
   wrk.method = args[1]
   wrk.path = args[2]
   if args[3] and args[3] ~= "" then
      wrk.body = args[3]
      wrk.headers["Content-Type"] = "application/json"
   end
end

function done(summary, latency)
   local e = summary.errors
   io.write(string.format(
      "bench-result requests=%d duration_us=%d p50_us=%d p99_us=%d p999_us=%d errors=%d refused=%d\n",
      summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
      latency:percentile(99.9), e.connect + e.read + e.write + e.timeout, e.status))
end
