-- Writes a session unless somebody else wrote or deleted it meanwhile.
-- KEYS[1] the session; ARGV: how the text began that was read, the new text, seconds until it ends or 0
if redis.call('GETRANGE', KEYS[1], 0, #ARGV[1] - 1) ~= ARGV[1] then
  return {0}
end
if ARGV[3] == '0' then
  redis.call('SET', KEYS[1], ARGV[2])
else
  redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
end
return {1}
