// Another load generator, autocannon: the plan of bench/load.py from the input, its figures to the output.
// argv[2] is autocannon's folder. A rate is met by each connection in a burst at the start of each second.
const autocannon = require(process.argv[2])
const plan = JSON.parse(require('fs').readFileSync(0, 'utf8'))
const took = []
let asked = 0
let cached = 0
let wrong = 0

const next = (request) => {
  const moment = new Date(Date.parse(plan.moment) + 60000 * plan.step * asked).toISOString()
  const token = plan.tokens[asked++ % plan.tokens.length]
  return {
    ...request,
    path: plan.path.replace('{moment}', moment),
    headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${token}` }
  }
}

const run = autocannon(
  {
    url: `http://127.0.0.1:${plan.port}`,
    connections: plan.connections,
    duration: plan.seconds,
    ...(plan.rate && { overallRate: plan.rate }),
    requests: [{ method: 'POST', body: plan.body, setupRequest: next }],
    setupClient: (client) => client.on('body', (body) => { cached += /"cached":\s*true/.test(body) })
  },
  (error, result) => {
    if (error) throw error
    took.sort((a, b) => a - b)
    console.log(JSON.stringify({
      p50: took[Math.floor(took.length / 2)],
      p99: took[Math.floor((took.length * 99) / 100)],
      max: took[took.length - 1],
      count: took.length,
      asked,
      per_second: took.length / result.duration,
      wrong: wrong + result.errors,
      cached,
      fresh: took.length - cached
    }))
  }
)
run.on('response', (client, status, bytes, milliseconds) => {
  took.push(milliseconds)
  wrong += status !== 200
})
