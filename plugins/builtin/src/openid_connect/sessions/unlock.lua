-- Gives a lock back, unless it ended and somebody else has it.
-- KEYS[1] the lock; ARGV: who took it
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
  return {1}
end
return {0}
