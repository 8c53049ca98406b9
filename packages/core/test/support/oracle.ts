import type { Change, Discovery, ServiceInstance } from '@etcd-register/core'

/** The part of an etcd's handle that says what really is in it. */
export interface EtcdReader {
  etcdctl(...args: string[]): Promise<string>
}

/** Every key under a prefix and its value, as etcdctl prints them. A page has to fit into one megabyte of output. */
export async function readKeys(etcd: EtcdReader, prefix: string, page = 1000): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  const end = prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1)
  for (let from = prefix; ; ) {
    const answer = await etcd.etcdctl('get', from, end, `--limit=${page}`, '--write-out=json')
    const { kvs = [], more = false } = JSON.parse(answer) as {
      kvs?: { key: string; value?: string }[]
      more?: boolean
    }
    for (const { key, value = '' } of kvs) found.set(text(key), text(value))
    if (!more) return found
    from = text(kvs.at(-1)!.key)
  }
}

const text = (base64: string) => Buffer.from(base64, 'base64').toString()

/** What a value of the json format, or an instance, says, in one comparable line. */
export function described(fields: Partial<ServiceInstance>): string {
  const { id, name, version = '', metadata = {}, endpoints, zone = '', weight = 100, status = 'up' } = fields
  return JSON.stringify([id, name, version, Object.entries(metadata).sort(), endpoints, zone, weight, status])
}

/**
 * Keeps a map out of nothing but the `change` events of a discovery, and notes every one that does not fit: `added` that
 * was there, `updated` or `removed` that was not. To be made in the same tick as the discovery.
 */
export class Witness {
  readonly discovery: Discovery
  readonly changes: Change[] = []
  readonly faults: string[] = []
  readonly #replayed = new Map<string, ServiceInstance>()

  constructor(discovery: Discovery) {
    this.discovery = discovery
    discovery.on('change', change => this.#replay(change))
  }

  #replay(change: Change): void {
    const { added, removed, updated } = change
    this.changes.push(change)
    if (added.length + removed.length + updated.length === 0) this.faults.push('a change of nothing')
    for (const { key } of removed)
      if (!this.#replayed.delete(key)) this.faults.push(`removed, not there: ${key}`)
    for (const instance of updated) {
      const before = this.#replayed.get(instance.key)
      if (before === undefined) this.faults.push(`updated, not there: ${instance.key}`)
      else if (described(before) === described(instance))
        this.faults.push(`updated, the same: ${instance.key}`)
      this.#replayed.set(instance.key, instance)
    }
    for (const instance of added) {
      if (this.#replayed.has(instance.key)) this.faults.push(`added, already there: ${instance.key}`)
      this.#replayed.set(instance.key, instance)
    }
  }

  /** What is wrong with the events, and between them and `.instances`. */
  differences(): string[] {
    const { instances } = this.discovery
    const differences = [...this.faults]
    if (instances.length !== this.#replayed.size) {
      differences.push(`${instances.length} instances, ${this.#replayed.size} replayed`)
    }
    for (const instance of instances) {
      if (this.#replayed.get(instance.key) !== instance) differences.push(`not as replayed: ${instance.key}`)
    }
    return differences
  }

  /** What is missing, too much or different in the table, compared with the keys and values in etcd. */
  differencesFrom(keys: ReadonlyMap<string, string>): string[] {
    const ours = new Map(this.discovery.instances.map(instance => [instance.key, instance]))
    const differences = []
    for (const [key, value] of keys) {
      const instance = ours.get(key)
      if (instance === undefined) differences.push(`missing: ${key}`)
      else if (described(instance) !== described(JSON.parse(value))) differences.push(`different: ${key}`)
    }
    for (const key of ours.keys()) if (!keys.has(key)) differences.push(`not in etcd: ${key}`)
    return differences
  }
}

/**
 * Once nobody writes: waits until the table is what etcd says, then checks that the events told the same story.
 * Rejects with the differences that are left.
 */
export async function expectConverged(
  witness: Witness,
  etcd: EtcdReader,
  prefix: string,
  { timeout = 25_000, page = 1000 }: { timeout?: number; page?: number } = {},
): Promise<void> {
  const keys = await readKeys(etcd, prefix, page)
  const end = performance.now() + timeout
  const settled = () => !witness.discovery.stale && witness.differencesFrom(keys).length === 0
  while (!settled() && performance.now() < end) await nextSign(witness.discovery, end - performance.now())
  const differences = [...witness.differencesFrom(keys), ...witness.differences()]
  if (witness.discovery.stale) differences.push('stale')
  if (differences.length === 0) return
  const shown = differences.slice(0, 10).join('\n  ')
  throw new Error(`${witness.discovery.name}: ${differences.length} differences from etcd:\n  ${shown}`)
}

/** Resolves with the next event of a discovery, or after `timeout` ms. */
function nextSign(discovery: Discovery, timeout: number): Promise<void> {
  return new Promise(resolve => {
    const events = ['change', 'fresh', 'stale'] as const
    const done = () => {
      clearTimeout(timer)
      for (const event of events) discovery.off(event, done)
      resolve()
    }
    const timer = setTimeout(done, timeout)
    for (const event of events) discovery.on(event, done)
  })
}
