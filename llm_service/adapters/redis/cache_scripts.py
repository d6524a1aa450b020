"""What the cache does in Redis, as Lua scripts: each is one step that no other process comes between.

A bucket of the cache has an index: `order`, a sorted set of its names by the time at which they expire, and `sizes`, a hash of
`bytes:owner` by name, with the sum under `*`. A server that evicts keys can lose a part of this. Then `heal` makes it whole:
what it cannot count any more it deletes.
"""

# KEYS: order, sizes, epoch. ARGV[1]: what the keys of the values begin with. Redis' own clock counts: those of machines differ.
_COMMON = """
local order, sizes, epoch, prefix = KEYS[1], KEYS[2], KEYS[3], ARGV[1]
local SUM = '*'

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function size_of(known)
  return known and tonumber(string.match(known, '^%d+')) or 0
end

local function add_to_sum(bytes)
  -- A full server refuses this. Without a sum, the next `heal` counts again.
  local sum = redis.pcall('HINCRBY', sizes, SUM, bytes)
  if type(sum) == 'table' then
    redis.call('HDEL', sizes, SUM)
    return 0
  end
  return sum
end

local function remove(name)
  local known = redis.call('HGET', sizes, name)
  local removed = redis.call('UNLINK', prefix .. name)
  redis.call('ZREM', order, name)
  if known then
    redis.call('HDEL', sizes, name)
    add_to_sum(-size_of(known))
  end
  return removed
end

local function remove_expired(now, most)
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', order, '-inf', now, 'LIMIT', 0, most)) do
    remove(name)
  end
end

local function heal(now)
  local known, sum = redis.call('HGETALL', sizes), 0
  for at = 1, #known, 2 do
    local name = known[at]
    if name ~= SUM then
      local left = redis.call('PTTL', prefix .. name)
      if left > 0 then
        redis.call('ZADD', order, 'NX', now + left, name)
        sum = sum + size_of(known[at + 1])
      else
        redis.call('HDEL', sizes, name)
        redis.call('ZREM', order, name)
      end
    end
  end
  for _, name in ipairs(redis.call('ZRANGE', order, 0, -1)) do
    if redis.call('HEXISTS', sizes, name) == 0 then
      remove(name)
    end
  end
  redis.call('HSET', sizes, SUM, sum)
end

local function heal_if_torn(now)
  local entries = redis.call('ZCARD', order)
  local sum = redis.call('HEXISTS', sizes, SUM)
  if redis.call('HLEN', sizes) - sum ~= entries or (sum == 0 and entries > 0) then
    heal(now)
  end
end
"""

# ARGV: name, value, bytes, lifetime in ms, most bytes, most entries, owner, epoch. Returns 1, or 0 if there is no room for it,
# or it is older than the last clearing.
PUT = (
    _COMMON
    + """
local name, value, bytes, ttl = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local most_bytes, most_entries, owner = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8]
local is_old = tonumber(redis.call('GET', epoch) or 0) > tonumber(ARGV[9])
if is_old or bytes > most_bytes or most_entries < 1 then
  remove(name)
  return 0
end
-- First, while nothing has changed: a full server refuses it.
local stored = redis.pcall('SET', prefix .. name, value, 'PX', ttl)
if stored.err then
  remove(name)
  return stored
end
local now = now_ms()
heal_if_torn(now)
remove_expired(now, 20)
local before = size_of(redis.call('HGET', sizes, name))
redis.call('HSET', sizes, name, bytes .. ':' .. owner)
redis.call('ZADD', order, now + ttl, name)
local sum = add_to_sum(bytes - before)
for _, key in ipairs({order, sizes}) do
  if redis.call('PTTL', key) < ttl then
    redis.call('PEXPIRE', key, ttl)
  end
end
-- A server that evicts values does not tell: look for a few.
for _, other in ipairs(redis.call('ZRANDMEMBER', order, 2)) do
  if redis.call('EXISTS', prefix .. other) == 0 then
    remove(other)
  end
end
sum = tonumber(redis.call('HGET', sizes, SUM)) or sum
while sum > most_bytes or redis.call('ZCARD', order) > most_entries do
  local oldest = redis.call('ZRANGE', order, 0, 0)[1]
  if not oldest then
    break
  end
  remove(oldest)
  sum = tonumber(redis.call('HGET', sizes, SUM)) or 0
end
return 1
"""
)

# ARGV: names. Returns how many there were.
REMOVE = (
    _COMMON
    + """
local removed = 0
for at = 2, #ARGV do
  removed = removed + remove(ARGV[at])
end
return removed
"""
)

# ARGV: lifetime in ms, most, time, epoch, lifetime of the epoch in ms. Removes at most as many of the entries that expire until
# the time; 0 = all that are there now expire by then. Nothing older than the epoch is put any more.
# Returns how many were in the index, how many were removed, and the time, for the next call.
REMOVE_SOME = (
    _COMMON
    + """
local until_ms = tonumber(ARGV[4])
redis.pcall('SET', epoch, ARGV[5], 'PX', ARGV[6])  -- a full server refuses it, and takes no entries either
if until_ms == 0 then
  until_ms = now_ms() + tonumber(ARGV[2])
end
local names = redis.call('ZRANGEBYSCORE', order, '-inf', until_ms, 'LIMIT', 0, tonumber(ARGV[3]))
local removed = 0
for _, name in ipairs(names) do
  removed = removed + remove(name)
end
return {#names, removed, until_ms}
"""
)

# ARGV: names of values. Removes those that the index does not know.
REMOVE_UNKNOWN = (
    _COMMON
    + """
local removed = 0
for at = 2, #ARGV do
  if redis.call('HEXISTS', sizes, ARGV[at]) == 0 then
    removed = removed + remove(ARGV[at])
  end
end
return removed
"""
)

# Returns the number of entries, and their bytes.
COUNT = (
    _COMMON
    + """
local now = now_ms()
remove_expired(now, 200)
heal_if_torn(now)
return {redis.call('ZCOUNT', order, now + 1, '+inf'), tonumber(redis.call('HGET', sizes, SUM)) or 0}
"""
)
