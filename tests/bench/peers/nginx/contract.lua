-- What both Lua peers say over HTTP; a store is what sells: a table of
--   take(qty): what is left after the sale, or nil and what is left when that is too little
--   left():    what is left
-- An order is only numbered, not kept: that is in their favour.
local json = require "cjson.safe"

local contract = {}
local SOLD = '{"success":true,"remaining":%d,"message":"Purchase successful!",'
   .. '"order_id":"00000000-0000-8000-8000-%012x"}'
local REFUSED = '{"success":false,"remaining":%d,"message":"Insufficient inventory"}'

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
      return answer(200, SOLD:format(remaining, remaining))
   end
   answer(200, REFUSED:format(available))
end

function contract.available(store)
   answer(200, ('{"qty":%d}'):format(store.left()))
end

return contract
