-- What wrk sends, and what it tells at the end: one line of JSON.
--
-- Arguments, after `--`: the cell (get_one, get_50, post), then how many tasks there are.

local cell, rows
local threads = {}

-- Requests of this thread so far, the last of each connection without an answer when the time is over.
sent = 0

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  cell, rows = args[1], tonumber(args[2])
  -- The same ids in the same order for everybody.
  math.randomseed(20261121)
  if cell == "post" then
    wrk.headers["Content-Type"] = "application/json"
    wrk.body = args[3]
    fixed = wrk.format("POST", "/tasks")
  elseif cell == "get_50" then
    fixed = wrk.format("GET", "/tasks?limit=50")
  end
end

function request()
  sent = sent + 1
  if fixed then
    return fixed
  end
  return wrk.format("GET", "/tasks/" .. math.random(rows))
end

function done(summary, latency, requests)
  -- wrk makes one request of its first thread to look at it, and does not send that.
  local errors, total = summary.errors, -1
  for _, thread in ipairs(threads) do
    total = total + thread:get("sent")
  end
  io.write(string.format(
    '{"sent": %d, "requests": %d, "duration_us": %d, "bytes": %d, "p50_us": %d, "p99_us": %d,'
      .. ' "failed": {"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}}\n',
    total, summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99),
    errors.connect, errors.read, errors.write, errors.status, errors.timeout
  ))
end
