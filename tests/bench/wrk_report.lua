-- wrk's script: one fixed request taken from the command line, and a result for a program to read.
--   wrk … -s wrk_report.lua URL -- METHOD PATH [BODY]
-- Without a global request() wrk sends the same bytes each time and never enters Lua under load.

function init(args)
   wrk.method = args[1]
   wrk.path = args[2]
   if args[3] then
      wrk.body = args[3]
      wrk.headers["Content-Type"] = "application/json"
   end
end

function done(summary, latency)
   local e = summary.errors
   io.write(string.format(
      "bench-result requests=%d duration_us=%d p50_us=%d p99_us=%d errors=%d refused=%d\n",
      summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
      e.connect + e.read + e.write + e.timeout, e.status))
end
