"""The benches behind tools/bench.

procs         starts, pins, watches and ends processes
client        a plain HTTP/1.1 client for one connection
load          wrk, and a fixed number of requests in lockstep
targets       the servers and rows that are measured: one table entry each
figures       medians, spreads, slopes
report        the machine's description, aligned tables, JSON
requests      requests/s, p99, CPU time a request, ratios
instructions  instructions a request, by perf or callgrind
memory        a worker's private memory, and what an idle connection costs
soak          memory over minutes of mixed load
fairness      how connections spread over four workers
"""
