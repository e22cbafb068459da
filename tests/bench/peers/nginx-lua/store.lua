-- The stock in nginx's shared dictionary: every worker sees it, nothing survives a restart.
local stock = ngx.shared.stock
local store = {}

function store.take(qty)
   local left = assert(stock:incr("default", -qty))
   if left >= 0 then
      return left
   end
   return nil, math.max(0, assert(stock:incr("default", qty)))
end

function store.left()
   return stock:get("default")
end

return store
