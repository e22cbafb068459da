-- What both Lua peers say over HTTP; a store is what sells: a table of
--   take(qty): what is left after the sale, or nil and what is left when that is too little
--   left():    what is left
-- An order is only given its id, not kept: that is in their favour.
local json = require "cjson.safe"

local contract = {}
local SOLD = '{"success":true,"remaining":%d,"message":"Purchase successful!",'
   .. '"order_id":"%s-%s-8%s-8%s-%s"}'
local REFUSED = '{"success":false,"remaining":%d,"message":"Insufficient inventory"}'
local capacity, instance

-- Once, before the load: how many tickets there are at first.
function contract.configure(tickets)
   capacity, instance = tickets, string.format("%016x", ngx.now() * 1e6)
end

local function answer(status, body)
   ngx.status = status
   -- With its length known it is sent in one piece, not in chunks.
   ngx.header.content_length = #body
   ngx.print(body)
end

function contract.purchase(store)
   ngx.req.read_body()
   local wanted = json.decode(ngx.req.get_body_data() or "")
   local qty = type(wanted) == "table" and wanted.qty
   if type(qty) ~= "number" or qty < 1 or qty % 1 ~= 0 then
      return answer(400, '{"code":"invalid_request"}')
   end
   local remaining, available = store.take(qty)
   if remaining then
      -- nginx's own id of the request, which cannot be guessed, in the form of ticketd's.
      local id = ngx.var.request_id
      return answer(200, SOLD:format(remaining, id:sub(1, 8), id:sub(9, 12), id:sub(14, 16),
         id:sub(18, 20), id:sub(21)))
   end
   answer(200, REFUSED:format(available))
end

function contract.available(store)
   local left = store.left()
   ngx.header.cache_control = "public, max-age=1"
   ngx.header.etag = ('"%s-%d"'):format(instance, capacity - left + 1)
   answer(200, ('{"qty":%d}'):format(left))
end

return contract
