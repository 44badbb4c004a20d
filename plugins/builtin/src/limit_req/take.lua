-- KEYS[1]: the bucket. ARGV: requests per second, burst.
-- Answers how many microseconds the request has to wait, or -1 when the burst is used up.
local rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local bucket = redis.call('HMGET', KEYS[1], 'excess', 'last')
local excess = 0
if bucket[1] and bucket[2] then
  local elapsed = math.max(now - tonumber(bucket[2]), 0) / 1000000
  excess = math.max(tonumber(bucket[1]) - rate * elapsed + 1, 0)
  if excess > burst then
    return {-1}
  end
end
redis.call('HSET', KEYS[1], 'excess', string.format('%.17g', excess), 'last', string.format('%.0f', now))
-- Until the bucket is as good as new, and no longer than ten years.
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.min(math.ceil((excess + 1) / rate * 1000) + 1, 315360000000)))
return {math.min(math.ceil(excess / rate * 1000000), 315360000000000)}
