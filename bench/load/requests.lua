-- Requests for wrk: wrk ... -s requests.lua <url> -- <kind> <token> <run> <members> <first card> <start> [<file of member ids>]
-- Every write has a key and a reference that nobody used before: run, thread, number.

local threads = 0
local all = {}

function setup(thread)
  thread:set("thread_number", threads)
  table.insert(all, thread)
  threads = threads + 1
  for _, one in ipairs(all) do
    one:set("thread_count", threads)
  end
end

local STRIDE = 7919 -- a prime: steps of it visit every member once before any twice
local BULK = 500
local LINES = '"lines":[{"line_id":"1","sku":"LEGO-1","category":"toys","quantity":1,"amount":19900}]'

local kind, run, members, first_card, start
local made = 0
local headers
local ids = {}
local make = {}
failed_items = 0

function init(args)
  kind, run = args[1], args[3]
  members, first_card, start = tonumber(args[4]), tonumber(args[5]), tonumber(args[6])
  headers = { ["Authorization"] = "Bearer " .. args[2], ["Content-Type"] = "application/json" }
  if kind == "balance" then
    for line in io.lines(args[7]) do
      table.insert(ids, line)
    end
  end
  if kind ~= "bulk" then
    response = nil -- looking at answers costs; wrk counts the statuses by itself
  end
  math.randomseed(os.time() * 100 + thread_number)
end

-- Where a rate is asked for, each connection rests a random while before it sends; wrk does not count the rest.
local rest = tonumber(os.getenv("REST_MS") or "")
if rest then
  function delay()
    return math.random(0, 2 * rest)
  end
end

function request()
  made = made + 1
  return make[kind]()
end

-- One bulk call answers 200 whatever became of its items: count those that were refused.
function response(status, _, body)
  for _ in body:gmatch('"status":[45]%d%d,"body"') do
    failed_items = failed_items + 1
  end
end

local function name()
  return run .. "-" .. thread_number .. "-" .. made
end

local function card(number)
  return string.format("%.0f", first_card + number)
end

local function now()
  return os.date("!%Y-%m-%dT%H:%M:%SZ")
end

local function order(number, reference)
  return '{"member":{"number":"' .. card(number) .. '"},"source":"pos-1","reference":"' .. reference
    .. '","store":"SH-001","occurred_at":"' .. now() .. '","currency":"CNY",' .. LINES .. "}"
end

local function post(path, key, body)
  headers["Idempotency-Key"] = key
  return wrk.format("POST", path, headers, body)
end

function make.accrual()
  local unique = name()
  return post("/v1/accruals", unique, order(math.random(0, members - 1), unique))
end

function make.hot()
  local unique = name()
  return post("/v1/accruals", unique, order(0, unique))
end

function make.bulk()
  local unique, items = name(), {}
  for n = 1, BULK do
    items[n] = order(math.random(0, members - 1), unique .. "-" .. n)
  end
  return post("/v1/accruals/bulk", unique, '{"items":[' .. table.concat(items, ",") .. "]}")
end

-- 60 points of lots of 100: one lot or two. Walked, not random: no member runs out before all have spent.
function make.redemption()
  local unique = name()
  local number = ((start + made * thread_count + thread_number) * STRIDE) % members
  return post("/v1/redemptions", unique, '{"member":{"number":"' .. card(number) .. '"},"points":60,"source":"app","reference":"'
    .. unique .. '","as_discount":{"currency":"CNY"}}')
end

function make.balance()
  return wrk.format("GET", "/v1/members/mem_" .. ids[math.random(1, members)] .. "/balance", headers)
end

function done(summary, latency, _)
  local items = 0
  for _, thread in ipairs(all) do
    items = items + (thread:get("failed_items") or 0)
  end
  local e = summary.errors
  io.stderr:write(string.format(
    '{"requests":%d,"microseconds":%d,"median_us":%d,"p99_us":%d,"max_us":%d,"errors":%d,"failed_items":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency.max,
    e.connect + e.read + e.write + e.timeout + e.status, items
  ))
end
