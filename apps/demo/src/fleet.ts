import { type ChildProcess, fork } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/** Longer than the 10 s within which an instance ends by itself. */
const PATIENCE = 12_000

/** One `orders` process. */
export interface Instance {
  readonly id: string
  readonly pid: number
  /** Resolves with the signal or the exit code when the process is gone. */
  readonly ended: Promise<NodeJS.Signals | number>
  signal(name: NodeJS.Signals): void
}

/** The `orders` processes of this demo, the oldest first. */
export class Fleet {
  readonly #env: NodeJS.ProcessEnv
  readonly #note: (text: string) => void
  readonly #running = new Map<string, Instance>()
  #started = 0

  /** `note` gets what the instances print. */
  constructor(env: NodeJS.ProcessEnv, note: (text: string) => void) {
    this.#env = env
    this.#note = note
    process.once('exit', () => this.kill()) // a demo that is forced to end leaves nobody behind
  }

  get running(): Instance[] {
    return [...this.#running.values()]
  }

  start(): Instance {
    this.#started += 1
    const id = `orders-${this.#started}`
    const child = fork(fileURLToPath(new URL('./orders.mjs', import.meta.url)), {
      env: { ...process.env, ...this.#env, ORDERS_ID: id, SERVICE_HOST: '127.0.0.1' },
      execArgv: [],
      detached: true, // Ctrl-C in the terminal is for the demo, which then ends its instances itself
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    })
    this.#listen(id, child)
    const ended = new Promise<NodeJS.Signals | number>(resolve => {
      child.once('exit', (code, signal) => resolve(signal ?? code ?? 1))
      child.once('error', () => resolve(1))
    })
    void ended.then(() => this.#running.delete(id))
    const instance = {
      id,
      pid: child.pid ?? 0,
      ended,
      signal: (name: NodeJS.Signals) => void child.kill(name),
    }
    this.#running.set(id, instance)
    return instance
  }

  /** SIGTERM to each; resolves when all are gone. */
  async stop(): Promise<void> {
    const leaving = this.running
    for (const instance of leaving) instance.signal('SIGTERM')
    const timer = setTimeout(() => this.kill(), PATIENCE)
    await Promise.all(leaving.map(({ ended }) => ended))
    clearTimeout(timer)
  }

  kill(): void {
    for (const instance of this.running) instance.signal('SIGKILL')
  }

  #listen(id: string, { stdout, stderr }: ChildProcess): void {
    for (const input of [stdout!, stderr!]) {
      createInterface({ input }).on('line', line => this.#note(`${id}: ${line}`))
    }
  }
}
