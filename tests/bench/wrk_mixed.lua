-- wrk's script for the soak: what a public server meets, in a fixed rotation.

local json = { ["Content-Type"] = "application/json" }
local requests = {}

function init()
   local purchase = "/api/v1/purchase"
   requests = {
      wrk.format("GET", "/api/v1/available"),
      wrk.format("POST", purchase, json, '{"qty":1}'),
      wrk.format("GET", "/api/v1/available"),
      wrk.format("POST", purchase, json, '{"qty":2}'),
      wrk.format("GET", "/health"),
      wrk.format("POST", purchase, json, '{"qty":'),
      wrk.format("GET", "/no/such/path"),
      wrk.format("POST", purchase, json, '{"qty":0}'),
   }
end

local turn = 0

function request()
   turn = turn % #requests + 1
   return requests[turn]
end

function done(summary, latency)
   local e = summary.errors
   io.write(string.format(
      "bench-result requests=%d duration_us=%d p99_us=%d errors=%d refused=%d\n",
      summary.requests, summary.duration, latency:percentile(99),
      e.connect + e.read + e.write + e.timeout, e.status))
end
