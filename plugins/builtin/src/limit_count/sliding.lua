-- KEYS[1]: the counts of the current window and of the one before. Windows follow the clock of Redis.
-- ARGV: requests that pass, length of a window in seconds, how many to count, whether to count them in any case.
-- Answers whether they pass, how many more would, and the milliseconds until there is more.
local limit, window, cost = tonumber(ARGV[1]), tonumber(ARGV[2]) * 1000, tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local number = math.floor(now / window)
local kept = redis.call('HMGET', KEYS[1], 'window', 'number', 'current', 'previous')
local current, previous = 0, 0
if tonumber(kept[1]) == window then
  if tonumber(kept[2]) == number then
    current, previous = tonumber(kept[3]), tonumber(kept[4])
  elseif tonumber(kept[2]) == number - 1 then
    previous = tonumber(kept[3])
  end
end
local left = window - now % window
-- A window that began under a larger limit is not held against the key beyond this one.
local before = math.min(previous, limit)
local estimated = before * left / window
if ARGV[4] == '0' then
  -- All but the last one of a request have to find room, as the last one then does.
  local taken = current + cost - 1
  if taken >= limit then
    return {0, math.max(limit - current, 0), left}
  end
  if estimated + taken >= limit then
    local room = (limit - taken) * window / before
    return {0, 0, math.ceil(math.max(left - room, 0))}
  end
end
current = current + cost
local function text(n) return string.format('%.0f', n) end
redis.call('HSET', KEYS[1], 'window', text(window), 'number', text(number), 'current', text(current), 'previous', text(previous))
redis.call('PEXPIRE', KEYS[1], text(2 * window))
return {1, math.max(math.floor(limit - current - estimated), 0), left}
