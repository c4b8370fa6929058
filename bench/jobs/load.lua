-- Load for wrk: thread i sends to HUBS[i] (addresses separated by commas), as SCENARIO says:
--   submit  a new job with every request
--   status  the state of one of JOBS (ids separated by commas), in turns
--   mixed   a new job, then three questions for its state
-- The last line printed is a JSON object; latencies are in microseconds.

local scenario = os.getenv("SCENARIO")
local threads = 0

local function split(text)
  local parts = {}
  for part in string.gmatch(text or "", "[^,]+") do
    parts[#parts + 1] = part
  end
  return parts
end

function setup(thread)
  local hubs = split(os.getenv("HUBS"))
  threads = threads + 1
  local host, port = string.match(hubs[(threads - 1) % #hubs + 1], "^(.*):(%d+)$")
  thread.addr = wrk.lookup(host, port)[1]
  thread:set("seed", threads * 1000000)
end

local jobs, turn, asked, latest = split(os.getenv("JOBS")), 0, 0, nil
local headers = { ["content-type"] = "application/json" }
local body = '{"model":"demo-hub/glyph","prompt":"red apple","num_inference_steps":8,"seed":%d}'

local function submit()
  seed = seed + 1
  return wrk.format("POST", "/api/v1/jobs", headers, string.format(body, seed))
end

local function ask(id)
  return wrk.format("GET", "/api/v1/jobs/" .. id)
end

function request()
  if scenario == "status" then
    turn = turn % #jobs + 1
    return ask(jobs[turn])
  elseif scenario == "mixed" and latest and asked < 3 then
    asked = asked + 1
    return ask(latest)
  end
  asked = 0
  return submit()
end

if scenario == "mixed" then
  function response(status, _, text)
    if status == 202 then
      latest = string.match(text, '"id":"([^"]+)"')
    end
  end
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"duration_us":%d,"median_us":%d,"p99_us":%d,"refused":%d,"broken":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
