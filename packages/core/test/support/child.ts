import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { until } from './until.ts'
import type { Cleanup } from './write-side.ts'

/** A process that runs a fixture on the built package. */
export interface Child {
  readonly lines: string[]
  /** Exit code, or the signal that ended it. */
  readonly ended: Promise<number | string | null>
  readonly running: boolean
  kill(signal: NodeJS.Signals): void
  /** Until it said `line`, `times` times. */
  said(line: string, times?: number): Promise<void>
}

/** Runs `test/fixtures/<name>`; it is killed when the test is over. */
export function aChild(test: Cleanup, name: string, ...args: string[]): Child {
  const child = spawn(process.execPath, [pathOf(name), ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  return followed(test, child)
}

/** The same at a terminal of its own; `ended` is as a shell shows it. Linux only. */
export function aChildAtTerminal(
  test: Cleanup,
  name: string,
  args: string[],
  where: 'in the foreground' | 'in the background' = 'in the foreground',
): Child & { ctrlC(): void } {
  const run = [process.execPath, pathOf(name), ...args].map(word => `'${word}'`).join(' ')
  const command = where === 'in the foreground' ? `exec ${run}` : `set -m; ${run} & wait $!`
  const child = spawn('script', ['--quiet', '--return', '--flush', '--command', command, '/dev/null'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  return Object.assign(followed(test, child), { ctrlC: () => void child.stdin.write('\x03') })
}

const pathOf = (name: string): string => fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url))

function followed(test: Cleanup, child: ChildProcess): Child {
  const lines: string[] = []
  createInterface({ input: child.stdout! }).on('line', line => lines.push(line))
  const ended = new Promise<number | string | null>(resolve =>
    child.once('close', (code, signal) => resolve(signal ?? code)),
  )
  test.onTestFinished(async () => {
    child.kill('SIGKILL')
    await ended
  })
  return {
    lines,
    ended,
    get running() {
      return child.exitCode === null && child.signalCode === null
    },
    kill: signal => void child.kill(signal),
    said: (line, times = 1) =>
      until(() => lines.filter(said => said === line).length >= times, {
        what: `the process says ${line}, ${times} times`,
        within: 45_000,
      }),
  }
}
