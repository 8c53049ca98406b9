import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const main = fileURLToPath(new URL('../dist/main.mjs', import.meta.url))

/** The built demo, without a terminal. */
export interface DemoProcess extends AsyncDisposable {
  readonly pid: number
  /** What it printed on stdout, and on stderr. */
  readonly lines: readonly string[]
  readonly errors: readonly string[]
  /** Resolves with the exit code when it is over and all it printed was read. */
  readonly ended: Promise<number | null>
  /** The first line, of either, that contains the text; rejects when the demo ends without one. */
  line(text: string): Promise<string>
  /** As a terminal does it: to the whole process group. */
  ctrlC(): void
  kill(): void
  /** Itself and all it started that still run. */
  processes(): number[]
}

/** Starts it in a process group of its own; disposing of it kills it. */
export function startDemo(args: string[] = [], env: NodeJS.ProcessEnv = {}): DemoProcess {
  const clean = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => name === 'ETCD_BIN' || !/^ETCD(CTL)?_/.test(name)),
  )
  const child = spawn(process.execPath, [main, ...args], {
    env: { ...clean, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  const pid = child.pid!
  const ended = once(child, 'close').then(([code]) => code as number | null)
  const lines: string[] = []
  createInterface({ input: child.stdout }).on('line', line => lines.push(line))
  const errors: string[] = []
  createInterface({ input: child.stderr }).on('line', line => errors.push(line))

  return {
    pid,
    lines,
    errors,
    ended,
    line: text => firstLine(child, () => [...lines, ...errors], text),
    ctrlC() {
      try {
        process.kill(-pid, 'SIGINT')
      } catch {
        // It has ended a moment ago.
      }
    },
    kill: () => child.kill('SIGKILL'),
    processes: () => [pid, ...descendants(pid)],
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await ended
    },
  }
}

function firstLine(child: ChildProcess, lines: () => readonly string[], text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const look = () => {
      const found = lines().find(line => line.includes(text))
      if (found !== undefined) resolve(found)
    }
    // Behind the reader of lines, which listens already.
    for (const output of [child.stdout!, child.stderr!]) output.on('data', () => setImmediate(look))
    child.once('close', () =>
      setImmediate(() => reject(new Error(`no line "${text}" in\n${lines().join('\n')}`))),
    )
    look()
  })
}

function descendants(pid: number): number[] {
  const table = execFileSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' })
  const processes = table
    .trim()
    .split('\n')
    .map(line => line.trim().split(/\s+/).map(Number))
  const below = (parent: number): number[] =>
    processes.filter(([, ppid]) => ppid === parent).flatMap(([child]) => [child!, ...below(child!)])
  return below(pid)
}

/** Of these, the ones that run; a zombie that nobody has waited for does not. */
export function alive(pids: readonly number[]): number[] {
  if (pids.length === 0) return []
  try {
    const rows = execFileSync('ps', ['-o', 'pid=,stat=', '-p', pids.join(',')], { encoding: 'utf8' })
    return rows
      .trim()
      .split('\n')
      .map(row => row.trim().split(/\s+/))
      .filter(([, state]) => !state!.startsWith('Z'))
      .map(([pid]) => Number(pid))
  } catch {
    return [] // ps fails when none is left
  }
}
