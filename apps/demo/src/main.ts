import { constants } from 'node:os'
import { parseArgs } from 'node:util'
import { runDemo } from './demo.ts'

const USAGE = `usage: npm run demo -- [--once] [--json] [--etcd]
  --once  every scene once, unattended; exit status 1 if one did not happen
  --json  the observed times and counts as one JSON object, or why there are none: it alone is on stdout, and all
          that is to be seen on stderr (npm run --silent demo -- --json, since npm itself prints what it runs)
  --etcd  on a real etcd, which has to be installed
It needs nothing: without --etcd it uses the etcd at ETCD_ENDPOINTS, under a key prefix of its own, or one that it
brings along.
Ctrl-C ends everything in order, a second one at once; the exit status is 130.`

/** npm passes on a Ctrl-C that the terminal has sent to us too: within this time, in ms, it is the same one. */
const DUPLICATE = 500

const { once, json, etcd } = readArguments()
const stop = new AbortController()
let stoppedAt = 0
let status = 0

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    status = 128 + constants.signals[signal]
    if (!stop.signal.aborted) {
      stoppedAt = performance.now()
      stop.abort()
    } else if (performance.now() - stoppedAt > DUPLICATE) process.exit(status)
  })
}
for (const output of [process.stdout, process.stderr]) {
  output.on('error', () => {
    status = 1 // whoever read our output is gone
    stop.abort()
  })
}

try {
  const output = json ? process.stderr : process.stdout
  const report = await runDemo({ once, etcd, output, signal: stop.signal })
  if (once && !stop.signal.aborted) status = report.ok ? 0 : 1
  if (json) console.log(JSON.stringify(report))
} catch (error) {
  const { message: reason } = error as Error
  console.error(reason)
  if (json) console.log(JSON.stringify({ ok: false, reason }))
  status = 1
}
process.exitCode = status

function readArguments(): { once: boolean; json: boolean; etcd: boolean } {
  const flag = { type: 'boolean', default: false } as const
  try {
    const { values } = parseArgs({ options: { once: flag, json: flag, etcd: flag, help: flag } })
    if (!values.help) return values
    console.log(USAGE)
    process.exit(0)
  } catch (error) {
    console.error(`${(error as Error).message}\n${USAGE}`)
    process.exit(2)
  }
}
