import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { createRegistry, type EtcdRegisterError, type Logger } from '@etcd-register/core'
import type { FaultProxy } from '@etcd-register/testing'
import { Consumer } from './consumer.ts'
import { complaint, openEtcd } from './etcd.ts'
import { Fleet } from './fleet.ts'
import { openScreen, type Screen } from './screen.ts'

/** Seconds; short, so that the end of a crashed instance's lease is soon to be seen. */
const TTL = 5

/** Pauses of a demo that is watched, in ms; an unattended one waits for so many calls instead. */
const READING_TIME = 4000
const CALLS = 25

/** What the scenes are played with. */
export interface Stage {
  readonly fleet: Fleet
  readonly consumer: Consumer
  /** Between the consumer and etcd. */
  readonly link: FaultProxy
  readonly screen: Screen
  /** Seconds. */
  readonly ttl: number
  /** Lets the audience read, and the calls go on for a while. */
  pause(): Promise<void>
}

export interface StageOptions {
  once: boolean
  /** A real etcd instead of the embedded one. */
  etcd: boolean
  output: NodeJS.WriteStream
  /** Ends all waiting. */
  signal: AbortSignal
  /** Gets the way to close each thing that was opened, the first to be closed last. */
  onOpen(close: () => Promise<void>): void
}

/** Rejects with a message for people if there is no etcd. */
export async function openStage({ once, etcd: real, output, signal, onOpen }: StageOptions): Promise<Stage> {
  const etcd = await openEtcd(real)
  onOpen(() => etcd.stop())
  signal.throwIfAborted()
  const namespace = `/etcd-register-demo/${randomBytes(4).toString('hex')}`
  let screen: Screen | undefined
  const note = (text: string) => screen?.note(text)
  const registry = createRegistry({ hosts: etcd.link.endpoint, namespace, logger: loggerOf(note) })
  onOpen(() => registry.close())
  await registry.services().catch((error: EtcdRegisterError) => {
    throw new Error(complaint(error, etcd), { cause: error })
  })
  signal.throwIfAborted()

  const consumer = new Consumer(registry, signal)
  await consumer.ready()
  screen = openScreen(`etcd-register demo: etcd at ${etcd.label}`, consumer, output)
  onOpen(async () => screen?.close())
  const env = { ETCD_ENDPOINTS: etcd.endpoints, ORDERS_NAMESPACE: namespace, ORDERS_TTL: String(TTL) }
  const fleet = new Fleet(env, note)
  onOpen(() => fleet.stop())
  consumer.calls.on('failure', note)
  onOpen(() => consumer.calls.stop())
  return { fleet, consumer, link: etcd.link, screen, ttl: TTL, pause: once ? answered : read }

  async function read(): Promise<void> {
    await sleep(READING_TIME, undefined, { signal })
  }

  async function answered(): Promise<void> {
    const { calls } = consumer
    const enough = calls.requests + CALLS
    await consumer.until(() => calls.requests >= enough, 'the calls go on', 10_000)
  }
}

function loggerOf(note: (text: string) => void): Logger {
  const quiet = () => {}
  const loud = (_: object, message: string) => note(message)
  return { debug: quiet, info: loud, warn: loud, error: loud }
}
