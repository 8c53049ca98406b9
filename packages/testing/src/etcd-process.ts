import { type ChildProcess, spawn } from 'node:child_process'
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { cleanEnvironment } from './binary.ts'

const keptLines = 200

/** One etcd that can be started, killed and started again. */
export interface EtcdProcess {
  readonly pid: number | undefined
  readonly log: readonly string[]
  start(isReady: () => Promise<boolean>, timeout: number): Promise<void>
  signal(name: NodeJS.Signals): void
  /** Resolves when it stands still. */
  freeze(): Promise<void>
  kill(): Promise<void>
}

/** etcd ended or stayed silent during its start; the message ends with its last log lines. */
export class EtcdStartError extends Error {
  readonly addressInUse: boolean

  constructor(reason: string, log: readonly string[]) {
    super(`etcd did not start: ${reason}\n${log.join('\n')}`)
    this.name = 'EtcdStartError'
    this.addressInUse = log.some(line => line.includes('address already in use'))
  }
}

/** Describes a process, and starts nothing. */
export function etcdProcess(
  bin: string,
  args: readonly string[],
  pidFile: string,
  onLine: (line: string) => void,
): EtcdProcess {
  const log: string[] = []
  let child: ChildProcess | undefined

  function launch(): ChildProcess {
    log.length = 0
    // The shell writes the pid before there is an etcd, so that no moment exists in which nobody knows it.
    const launched = spawn('/bin/sh', ['-c', 'echo $$ > "$0" && exec "$@"', pidFile, bin, ...args], {
      cwd: '/',
      detached: true,
      env: cleanEnvironment(),
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    createInterface({ input: launched.stderr }).on('line', line => {
      log.push(line)
      if (log.length > keptLines) log.shift()
      onLine(line)
    })
    launched.once('exit', () => {
      rmSync(pidFile, { force: true })
      if (child === launched) child = undefined
    })
    launched.once('error', error => log.push(error.message))
    launched.unref()
    if ('unref' in launched.stderr && typeof launched.stderr.unref === 'function') launched.stderr.unref()
    return launched
  }

  return {
    log,
    get pid() {
      return child?.pid
    },
    async start(isReady, timeout) {
      const end = performance.now() + timeout
      const launched = launch()
      child = launched
      const closed = new Promise(resolve => launched.once('close', resolve))
      while (!(await isReady())) {
        if (launched.exitCode !== null || launched.signalCode !== null) {
          await closed
          throw new EtcdStartError(`it ended with ${launched.exitCode ?? launched.signalCode}`, log)
        }
        if (performance.now() > end) throw new EtcdStartError(`not healthy after ${timeout} ms`, log)
        await sleep(5)
      }
    },
    signal(name) {
      child?.kill(name)
    },
    async freeze() {
      if (child?.pid === undefined) throw new Error('There is no running etcd to freeze')
      child.kill('SIGSTOP')
      await untilStopped(child.pid)
    },
    async kill() {
      const killed = child
      if (killed === undefined) return
      killed.ref()
      const exit = new Promise(resolve => killed.once('exit', resolve))
      killed.kill('SIGKILL')
      await exit
    },
  }
}

/** Resolves when every thread of a process that got SIGSTOP stands still; at once where there is no /proc. */
async function untilStopped(pid: number): Promise<void> {
  const tasks = `/proc/${pid}/task`
  const isStopped = (task: string) => /\) [TtZX] /.test(readFileSync(`${tasks}/${task}/stat`, 'utf8'))
  try {
    while (!readdirSync(tasks).every(isStopped)) await sleep(1)
  } catch {
    // the process or a thread ended meanwhile, or this is not Linux
  }
}
