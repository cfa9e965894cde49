-- Pageviews of the tag's fields, each with an eventId of its own.
local body = '{"timestamp":%s,"lastPageVisited":"https://example.com/a","pageUrl":"https://example.com/page?utm_source=x",'
  .. '"pageTitle":"A page with a title","eventType":"Pageview","landingPage":0,"referrer":"direct",'
  .. '"uiud":"3b241101-e2bb-4255-8caf-%012x","sessionId":"f81d4fae-7dec-11d0-a765-00a0c91e6bf6",'
  .. '"eventId":"6fa459ea-ee8a-4ca4-%04x-%012x","sentAt":%s,"seq":3}'
local headers = { ["Content-Type"] = "application/json", ["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64) Chrome/141.0",
  ["Origin"] = "https://example.com", ["Accept-Language"] = "en", ["Referer"] = "https://example.com/" }
local now = os.time() .. "000"

init = function(args) math.randomseed(tonumber(args[1] or "1")) end

request = function()
  local event = string.format(body, now, math.random(0, 5000), math.random(0, 0xffff), math.random(0, 0xffffffffff), now)
  return wrk.format("POST", "/api/webeventspub", headers, event)
end
