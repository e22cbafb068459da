-- The stock in Redis, taken by a script there, so that looking and taking are one step.  Connections
-- are kept, and the script is named by its digest, as Redis advises.
local redis = require "nginx.redis"

local TAKE = [[
local left = tonumber(redis.call("GET", KEYS[1]))
if left < tonumber(ARGV[1]) then return -1 - left end
return redis.call("DECRBY", KEYS[1], ARGV[1])
]]
local KEPT_MS, KEPT = 60000, 128
local store = {}
local address, capacity, digest

function store.configure(where, tickets)
   address, capacity = where, tickets
end

local function ask(command, ...)
   local connection = redis:new()
   assert(connection:connect(address))
   local answer = assert(connection[command](connection, ...))
   connection:set_keepalive(KEPT_MS, KEPT)
   return answer
end

-- Once, before the load.
function store.fill()
   ask("set", "default", string.format("%d", capacity))
   digest = ask("script", "LOAD", TAKE)
end

function store.take(qty)
   local left = ask("evalsha", digest, 1, "default", qty)
   if left >= 0 then
      return left
   end
   return nil, -1 - left
end

function store.left()
   return tonumber(ask("get", "default"))
end

return store
