import { createRegistry, type Registration, type Registry } from '@etcd-register/core'
import { type EtcdMember, type FaultProxy, startEtcdBinary, startFaultProxy } from '@etcd-register/testing'
import { described, readKeys, Witness } from './oracle.ts'
import { type Operation, RawWriter, valueFor } from './raw-writer.ts'
import { type Chance, seededChance } from './seeded-chance.ts'
import { type Fault, faults } from './soak-faults.ts'

export interface SoakOptions {
  minutes: number
  /** Decides which faults come, in which order and how long; not how the machine interleaves them. */
  seed: number
  say(line: string): void
}

/** How long everything may take to agree once the faults are over, in ms. */
const PATIENCE = 45_000

const SERVICES = ['orders', 'users', 'raw']
const pause = (ms: number) => new Promise<void>(resolve => setTimeout(resolve, ms))

/**
 * Registrants, discoveries and raw writers behind one faulty link to a real etcd. After each phase of faults everything
 * has to agree with etcd again. Rejects with the seed and what differs.
 */
export async function soak({ minutes, seed, say }: SoakOptions): Promise<void> {
  const chance = seededChance(seed)
  const world = await World.start(chance)
  const end = performance.now() + minutes * 60_000
  let phase = 0
  let story = 'the start'
  try {
    await world.agree()
    while (performance.now() < end) {
      phase += 1
      const chosen = Array.from({ length: chance.upTo(10) < 3 ? 2 : 1 }, () => chance.oneOf(faults))
      story = chosen.map(({ name }) => name).join(' + ')
      const quietAfter = await world.suffer(chosen)
      say(`== ${phase}: ${story}; all agree after ${Math.round(quietAfter)} ms; ${world.summary()}`)
    }
    story = 'the end'
    await world.leave()
  } catch (error) {
    throw new Error(`seed ${seed}, phase ${phase} (${story}): ${(error as Error).message}`, { cause: error })
  } finally {
    await world.stop()
  }
}

class World {
  readonly #etcd: EtcdMember
  readonly #proxy: FaultProxy
  readonly #chance: Chance
  readonly #writer: RawWriter
  readonly #registries: Registry[]
  readonly #registrations = new Set<Registration>()
  readonly #witnesses: Witness[] = []
  readonly #slowDown = hurryReconciles()
  #ports = 8000

  static async start(chance: Chance): Promise<World> {
    const etcd = await startEtcdBinary()
    return new World(etcd, await startFaultProxy(etcd), chance)
  }

  private constructor(etcd: EtcdMember, proxy: FaultProxy, chance: Chance) {
    this.#etcd = etcd
    this.#proxy = proxy
    this.#chance = chance
    this.#writer = new RawWriter(etcd.endpoint)
    this.#writer.timeout = 1000
    const options = { hosts: proxy.endpoint, ttl: 3, requestTimeout: 1000, logger: false as const }
    this.#registries = Array.from({ length: 5 }, () => createRegistry(options))
    const [first, ...others] = this.#registries
    for (const registry of this.#registries.slice(0, 3)) {
      for (const name of ['orders', 'users']) this.#register(registry, name)
    }
    for (const registry of [first!, ...others.slice(2)]) {
      for (const name of SERVICES) this.#witnesses.push(new Witness(registry.discover(name)))
    }
  }

  /** Lets the faults happen while everybody writes; resolves with the time until all agreed again. */
  async suffer(chosen: readonly Fault[]): Promise<number> {
    let over = false
    const busy = this.#churn(() => over)
    try {
      for (const fault of chosen) await fault.begin(this.#etcd, this.#proxy, this.#chance)
      await pause(this.#chance.upTo(chosen.some(({ long }) => long) ? 7000 : 1500))
      await Promise.race([Promise.all([...this.#registrations].map(one => this.#meddle(one))), pause(500)])
      for (const fault of [...chosen].reverse()) await fault.end?.(this.#etcd, this.#proxy, this.#chance)
    } finally {
      over = true
      await busy
    }
    const start = performance.now()
    await this.agree()
    return performance.now() - start
  }

  /** Resolves when etcd, every registration and every discovery say the same; rejects with what differs. */
  async agree(): Promise<void> {
    const end = performance.now() + PATIENCE
    for (;;) {
      const differences = await this.#differences()
      if (differences.length === 0) break
      if (performance.now() > end)
        throw new Error(`no agreement:\n  ${differences.slice(0, 12).join('\n  ')}`)
      await pause(50)
    }
    const faulty = this.#witnesses.flatMap(witness => witness.differences())
    if (faulty.length > 0) throw new Error(`wrong changes:\n  ${faulty.slice(0, 12).join('\n  ')}`)
    const repairs = this.#sum('repairs')
    if (repairs !== 0) throw new Error(`${repairs} repairs by reconciles`)
  }

  summary(): string {
    const changes = this.#witnesses.reduce((sum, witness) => sum + witness.changes.length, 0)
    const losses = this.#registries.reduce(
      (sum, registry) => sum + (registry.status().registrations[0]?.lease.losses ?? 0),
      0,
    )
    const [reconnects, relists] = [this.#sum('reconnects'), this.#sum('relists')]
    return `${changes} changes, ${reconnects} reconnects, ${relists} relists, ${losses} leases lost`
  }

  /** Everybody closes: nobody's key may stay. */
  async leave(): Promise<void> {
    const keys = [...this.#registrations].map(({ instance }) => instance.key)
    await Promise.all(this.#registries.map(registry => registry.close()))
    const left = new Set((await readKeys(this.#etcd, '/services/')).keys())
    const forgotten = keys.filter(key => left.has(key))
    if (forgotten.length > 0) throw new Error(`not deregistered: ${forgotten.join(', ')}`)
  }

  async stop(): Promise<void> {
    this.#slowDown()
    this.#writer.close()
    await Promise.all(this.#registries.map(registry => registry.close()))
    await this.#proxy.stop()
    await this.#etcd.stop()
  }

  async #differences(): Promise<string[]> {
    const keys = await readKeys(this.#etcd, '/services/')
    const differences = []
    for (const { state, instance } of this.#registrations) {
      const value = keys.get(instance.key)
      const expected = instance.status === 'suspended' ? 'suspended' : 'registered'
      if (state !== expected) differences.push(`${instance.key} is ${state}`)
      else if (value === undefined) differences.push(`not registered: ${instance.key}`)
      else if (described(JSON.parse(value)) !== described(instance)) {
        differences.push(`registered otherwise: ${instance.key}`)
      }
    }
    for (const witness of this.#witnesses) {
      const { name, stale } = witness.discovery
      const own = new Map([...keys].filter(([key]) => key.startsWith(`/services/${name}/`)))
      if (stale) differences.push(`${name} is stale`)
      differences.push(...witness.differencesFrom(own))
    }
    const streams = await this.#etcd.openStreams('Watch')
    if (streams !== this.#registries.length) differences.push(`${streams} watch streams`)
    return differences
  }

  #register(registry: Registry, name: string): void {
    this.#ports += 1
    this.#registrations.add(registry.register({ name, host: '10.1.0.1', port: this.#ports }))
  }

  /** What an app may do with its registration, whatever the state of etcd. */
  async #meddle(registration: Registration): Promise<void> {
    const ignore = () => {}
    switch (this.#chance.upTo(8)) {
      case 0:
        return registration.update({ version: `${this.#chance.upTo(1000)}` }).catch(ignore)
      case 1:
        return registration.suspend().catch(ignore)
      case 2:
      case 3:
        return registration.resume().catch(ignore)
      case 4:
        await this.#etcd.etcdctl('del', registration.instance.key, '--command-timeout=500ms').catch(ignore)
    }
  }

  /** Raw keys come, change and go for as long as the faults last. */
  async #churn(over: () => boolean): Promise<void> {
    while (!over()) {
      const operations = Array.from({ length: 1 + this.#chance.upTo(20) }, (): Operation => {
        const name = this.#chance.oneOf(SERVICES)
        const id = `raw${this.#chance.upTo(60)}`
        const put = `/services/${name}/${id}`
        if (this.#chance.upTo(3) === 0) return { del: put }
        return { put, value: valueFor(name, id, { version: `${this.#chance.upTo(4)}` }) }
      })
      await this.#writer.writeEach(operations).catch(() => pause(20))
      await pause(this.#chance.upTo(10))
    }
  }

  #sum(count: 'repairs' | 'reconnects' | 'relists'): number {
    return this.#registries
      .flatMap(registry => registry.status().watches)
      .reduce((sum, watch) => sum + watch[count], 0)
  }
}

/** Reconciles come after 3 to 6 seconds instead of 5 to 10 minutes, so that a run has some; returns the way back. */
function hurryReconciles(): () => void {
  const real = globalThis.setTimeout
  const hurried = (fn: () => void, ms = 0, ...args: []) =>
    real(fn, ms >= 300_000 && ms <= 600_000 ? ms / 100 : ms, ...args)
  globalThis.setTimeout = Object.assign(hurried, real) as typeof setTimeout
  return () => {
    globalThis.setTimeout = real
  }
}
