-- KEYS[1]: the window's counter. ARGV: requests that pass, length of the window in seconds, how many to count,
-- whether to count them in any case (1 or 0).
-- Answers whether they pass, how many more would, and the milliseconds until the window ends.
local limit, window, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local left = redis.call('PTTL', KEYS[1])
if left < 0 then
  if ARGV[4] == '0' and cost > limit then
    return {0, limit, window * 1000}
  end
  redis.call('SET', KEYS[1], ARGV[3], 'EX', ARGV[2])
  return {1, math.max(limit - cost, 0), window * 1000}
end
local used = tonumber(redis.call('GET', KEYS[1])) or 0
if ARGV[4] == '0' and used + cost > limit then
  return {0, math.max(limit - used, 0), left}
end
used = redis.call('INCRBY', KEYS[1], ARGV[3])
return {1, math.max(limit - used, 0), left}
