"""The benches behind tools/bench.

procs         starts, pins, watches and ends processes
client        a plain HTTP/1.1 client for one connection
load          wrk, and a fixed number of requests in lockstep
crowd         arrivals at a fixed rate, and buyers until all is sold
k6            where k6 is, and how it is called
targets       the servers and rows that are measured: one table entry each
figures       medians, spreads, slopes
report        aligned tables, JSON
machine       what a stranger must know of the machine to judge a figure
proxies       nginx and h2o, as other servers' hops
visit         one visit of a server under load, and what it cost
disk          how long one sync takes
requests      requests/s, p99, CPU time a request, ratios
instructions  instructions a request, by perf or callgrind
durable       what a purchase costs that is on the disk before its answer
repair        how long a killed worker is felt
recovery      start with a large ledger: time and memory
postgres      the same sale done by PostgreSQL
peers         the same sale done by other servers, of peers/…: one table with the goals
scale         what more connections, workers, reads and sales in the ledger cost
hop           what the way through two pools costs
latency       latency at fractions of the peak, counted from when each request was due
sellout       until the last ticket is sold, and the books afterwards
metrics       what /metrics costs, and what counting adds to a purchase
streams       what 5,000 event streams cost, and cost the buyers
pages         what the dashboard costs a browser
units         what a restart, a reload and an upgrade under systemd cost the clients
memory        a worker's private memory, and what an idle connection costs
core          sells, the journal and the keeper without HTTP, by number of processes
soak          memory over minutes of mixed load
fairness      how connections spread over four workers
plots         which plots there are, and what they take out of the JSON
drawing       draws them; runs in the Python that has matplotlib
"""
