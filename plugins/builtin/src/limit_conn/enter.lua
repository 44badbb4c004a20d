-- KEYS[1]: the requests in progress, each with the second in which it is taken to be over.
-- ARGV: how many may be in progress, seconds until a request is taken to be over, the id of the request.
-- Answers whether it is let in, and how many are in progress.
local limit, ttl = tonumber(ARGV[1]), tonumber(ARGV[2])
local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local live = redis.call('ZCARD', KEYS[1])
if redis.call('ZSCORE', KEYS[1], ARGV[3]) then
  -- It was let in already, and the answer got lost.
  return {1, live}
end
if live >= limit then
  return {0, live}
end
redis.call('ZADD', KEYS[1], now + ttl, ARGV[3])
redis.call('EXPIRE', KEYS[1], ttl)
return {1, live + 1}
