import { execFileSync } from 'node:child_process'
import {
  type EtcdAuthOptions,
  type EtcdTlsOptions,
  type EtcdVersion,
  startEtcd,
  startEtcdBinary,
} from '@etcd-register/testing'
import { afterAll, afterEach, beforeAll, describe, type TestAPI, test } from 'vitest'
import { findEtcd } from '../../src/binary.ts'
import {
  type Answer,
  type ClientTls,
  type EtcdClient,
  type EtcdStream,
  etcdClient,
  secureChannel,
} from '../support/etcd-client.ts'

/** What a case works with: an etcd that no other case uses at the same time, but that may hold older keys. */
export interface Subject extends EtcdClient {
  readonly port: number
  /** With TLS: whom to trust, and the client's own certificate. */
  readonly tls: ClientTls | undefined
  /** Starts with what no other key starts with. */
  key(name: string): string
  /** The revision that the store is at. */
  revision(): Promise<number>
  put(key: string, value?: string, more?: object): Promise<Answer>
  /** What a range request finds, by default under the prefix of this case. */
  range(more?: object): Promise<Answer>
  /** The first messages of a watch stream come after this one of its creation. */
  watch(create: object, token?: string): Promise<{ stream: EtcdStream; created: Answer }>
}

/** The version of the real etcd, and so of the embedded one beside it. */
export const etcdVersion = /(\d+\.\d+)/.exec(
  execFileSync(findEtcd(undefined), ['--version'], { encoding: 'utf8' }),
)![0] as EtcdVersion

/** Whether the etcd is of this version or a newer one: some cases hold only there. */
export const since = (version: EtcdVersion): boolean => etcdVersion >= version

/** Runs the same cases on the real etcd and on the embedded one. */
export function conform(
  name: string,
  cases: (it: TestAPI, etcd: Subject) => void,
  options: { auth?: EtcdAuthOptions; tls?: boolean | EtcdTlsOptions } = {},
): void {
  describe.each([
    ['etcd', startEtcdBinary],
    ['embedded etcd', (options: object) => startEtcd({ ...options, version: etcdVersion })],
  ] as const)(`${name}: %s`, (_, start) => {
    let etcd: Awaited<ReturnType<typeof start>>
    let client: EtcdClient
    let number = 0
    const streams: EtcdStream[] = []

    beforeAll(async () => {
      etcd = await start(options)
      client = etcdClient(etcd.endpoint, etcd.tls && secureChannel(etcd.tls))
    })
    afterEach(() => {
      number += 1
      for (const stream of streams.splice(0)) stream.cancel()
    })
    afterAll(async () => {
      client?.close()
      await etcd?.stop()
    })

    const prefix = () => `/${String(number).padStart(3, '0')}/`
    const subject: Subject = {
      get port() {
        return etcd.port
      },
      get tls() {
        return etcd.tls
      },
      call: (...args) => client.call(...args),
      callBare: (...args) => client.callBare(...args),
      feed(...args) {
        const stream = client.feed(...args)
        streams.push(stream)
        return stream
      },
      stream(...args) {
        const stream = client.stream(...args)
        streams.push(stream)
        return stream
      },
      close() {},
      key: key => prefix() + key,
      async revision() {
        const { header } = await client.call('Range', { key: 'none', count_only: true })
        return Number(header.revision)
      },
      put: (key, value = '', more = {}) => client.call('Put', { key: prefix() + key, value, ...more }),
      range: (more = {}) => client.call('Range', { key: prefix(), range_end: endOf(prefix()), ...more }),
      async watch(create, token) {
        const stream = subject.stream('Watch', token)
        stream.send({ create_request: { key: prefix(), range_end: endOf(prefix()), ...create } })
        return { stream, created: await stream.next() }
      },
    }
    cases(test as unknown as TestAPI, subject)
  })
}

/** The first key after all that start with a prefix. */
export function endOf(prefix: string): string {
  return prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1)
}

/** Keys of an answer, without the prefix of the case. */
export const keysOf = ({ kvs }: Answer): string[] =>
  kvs.map(({ key }: Answer) => String(key).replace(/^\/\d+\//, ''))

/** Events in short: `PUT a=1`, `DELETE a`. */
export function eventsOf({ events }: Answer): string[] {
  return events.map(({ type, kv }: Answer) => {
    const key = String(kv.key).replace(/^\/\d+\//, '')
    return type === 'Put' ? `PUT ${key}=${kv.value}` : `DELETE ${key}`
  })
}

/** A refusal, for `rejects.toMatchObject`. */
export const refusal = (code: number, text: string): object => ({ code, details: `etcdserver: ${text}` })
