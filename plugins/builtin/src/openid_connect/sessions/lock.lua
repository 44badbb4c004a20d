-- Takes a lock that nobody has.
-- KEYS[1] the lock; ARGV: who takes it, milliseconds after which it ends
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
  return {1}
end
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return {1}
end
return {0}
