import { Etcd3, type IOptions, type IRequestOp, KVClient } from 'etcd3'

class Client extends Etcd3 {
  readonly rawKv: KVClient = new KVClient(this.pool)
}

const passThrough = { execute: (fn: () => unknown) => fn() } as unknown as NonNullable<
  NonNullable<IOptions['faultHandling']>['global']
>

/** A value of the json format; a part of it can be replaced. */
export function valueFor(name: string, id: string, fields: object = {}): string {
  const endpoints = ['http://10.0.0.5:8000']
  return JSON.stringify({ id, name, version: '', metadata: {}, endpoints, ...fields })
}

/** A key is text, or bytes. */
export type Operation = { put: string | Buffer; value: string } | { del: string | Buffer }

/** Writes keys of any content as fast as etcd takes them. */
export class RawWriter {
  readonly #client: Client
  /** Of one transaction, in ms. */
  timeout = 60_000

  constructor(endpoint: string, auth?: { username: string; password: string }) {
    this.#client = new Client({
      hosts: endpoint,
      ...(auth && { auth }),
      defaultCallOptions: () => ({ deadline: Date.now() + this.timeout }),
      faultHandling: { global: passThrough, host: () => passThrough },
    })
  }

  /** In one transaction, so in one revision, which is returned. */
  async write(operations: readonly Operation[]): Promise<number> {
    const success = operations.map(operation =>
      'put' in operation
        ? { request_put: { key: Buffer.from(operation.put), value: Buffer.from(operation.value) } }
        : { request_delete_range: { key: Buffer.from(operation.del) } },
    ) as IRequestOp[]
    const answer = await this.#client.rawKv.txn({ compare: [], success, failure: [] })
    return Number(answer.header.revision)
  }

  put(key: string, value: string): Promise<number> {
    return this.write([{ put: key, value }])
  }

  /** Puts again and again until it is done, for where etcd has no leader or is away. */
  async insist(key: string, value: string): Promise<number> {
    this.timeout = 500
    for (;;) {
      try {
        return await this.put(key, value)
      } catch {
        // once more
      }
    }
  }

  del(key: string): Promise<number> {
    return this.write([{ del: key }])
  }

  /** Each operation in a revision of its own, many at a time and so in any order; returns their revisions. */
  async writeEach(operations: readonly Operation[]): Promise<number[]> {
    const revisions: number[] = []
    for (let at = 0; at < operations.length; at += 200) {
      const batch = operations.slice(at, at + 200)
      revisions.push(...(await Promise.all(batch.map(operation => this.write([operation])))))
    }
    return revisions
  }

  /** Puts in transactions of `size` (128 is etcd's own limit). */
  async fill(entries: readonly { put: string; value: string }[], size = 128): Promise<void> {
    const batches: Operation[][] = []
    for (let at = 0; at < entries.length; at += size) batches.push(entries.slice(at, at + size))
    const next = async () => {
      for (let batch = batches.shift(); batch !== undefined; batch = batches.shift()) await this.write(batch)
    }
    await Promise.all(Array.from({ length: 8 }, next))
  }

  close(): void {
    this.#client.close()
  }
}
