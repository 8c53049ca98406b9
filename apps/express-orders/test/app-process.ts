import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { constants } from 'node:os'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished } from 'vitest'

interface LogLine {
  level: number
  msg: string
  port?: number
  state?: string
  req?: { method: string; url: string }
}

/** A built app, started with `npm start`. */
export interface AppProcess {
  readonly url: string
  readonly log: readonly LogLine[]
  /** What it wrote that is no log line. */
  readonly noise: readonly string[]
  call(method: string, path: string, body?: object): Promise<{ status: number; body: unknown }>
  /** SIGTERM to npm alone; resolves with the exit status once all of the process group is gone. */
  terminate(): Promise<number>
  /** What is left of the process group, as ps has it. */
  remains(): string[]
}

/** Resolves once it is registered; killed with the test. */
export async function startApp(name: string, hosts: string): Promise<AppProcess> {
  const clean = Object.entries(process.env).filter(([key]) => !/^(npm_|ETCD|SERVICE_|LOG_LEVEL)/.test(key))
  const own = { PORT: '0', ETCD_ENDPOINTS: hosts, SERVICE_HOST: '127.0.0.1' }
  const child = spawn('npm', ['start', '--silent'], {
    cwd: fileURLToPath(new URL(`../../${name}`, import.meta.url)),
    env: { ...Object.fromEntries(clean), ...own },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  const group = -child.pid!
  const log: LogLine[] = []
  const noise: string[] = []
  for (const input of [child.stdout, child.stderr]) {
    createInterface({ input }).on('line', line => {
      if (line.startsWith('{')) log.push(JSON.parse(line))
      else noise.push(line)
    })
  }
  // Once whoever holds the pipes has ended, and so not npm alone.
  const ended = once(child, 'close').then(([code, signal]) => {
    return (code as number | null) ?? 128 + constants.signals[signal as NodeJS.Signals]
  })
  onTestFinished(async () => {
    signal(group, 'SIGKILL')
    await ended
  })
  const registered = () => ({ up: log.some(({ state }) => state === 'registered'), noise })
  await expect.poll(registered, { timeout: 60_000 }).toMatchObject({ up: true })
  const url = `http://127.0.0.1:${log.find(({ port }) => port !== undefined)!.port}`
  return {
    url,
    log,
    noise,
    remains: () => running(child.pid!),
    terminate() {
      child.kill('SIGTERM')
      return ended
    },
    async call(method, path, body) {
      const response = await fetch(`${url}${path}`, {
        method,
        headers: { 'content-type': 'application/json' },
        body: body === undefined ? null : JSON.stringify(body),
      })
      return { status: response.status, body: await response.json() }
    },
  }
}

function signal(group: number, name: NodeJS.Signals): void {
  try {
    process.kill(group, name)
  } catch {
    // Gone already.
  }
}

/** Without those that have ended and wait for somebody to ask. */
function running(group: number): string[] {
  const rows = execFileSync('ps', ['-A', '-o', 'pgid=,stat=,args='], { encoding: 'utf8' }).split('\n')
  return rows.filter(row => {
    const [pgid, state] = row.trim().split(/\s+/)
    return Number(pgid) === group && !state!.startsWith('Z')
  })
}
