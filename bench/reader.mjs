// One reader of etcd in a process of its own: `node --expose-gc reader.mjs ours|etcd3 <endpoint>`. Its parent asks over
// IPC, and ends it. The values are those of the format json.
import { createRegistry } from '@etcd-register/core'
import { Etcd3 } from 'etcd3'
import { watchPauses } from './pauses.mjs'

const [who, hosts] = process.argv.slice(2)

/** Without the limit: 100,000 of them are 27 MB, and gRPC's default is 4. */
const client = new Etcd3({ hosts, grpcOptions: { 'grpc.max_receive_message_length': -1 } })
const registry = createRegistry({ hosts })
const prefixOf = name => `/services/${name}/`

const readers = {
  ours: {
    async list(name) {
      const discovery = registry.discover(name)
      await discovery.ready()
      return { table: discovery.instances, size: discovery.instances.length, close: () => discovery.close() }
    },
    async watch(name, onChange) {
      const discovery = registry.discover(name)
      await discovery.ready()
      while (discovery.stale) await new Promise(resolve => discovery.once('fresh', resolve))
      discovery.on('change', ({ updated }) => onChange(updated.at(-1)))
    },
  },
  etcd3: {
    async list(name) {
      const { kvs } = await client.getAll().prefix(prefixOf(name)).exec()
      const table = new Map()
      for (const { key, value } of kvs) table.set(key.toString(), JSON.parse(value.toString()))
      return { table, size: table.size, close: async () => {} }
    },
    async watch(name, onChange) {
      const watcher = await client.watch().prefix(prefixOf(name)).create()
      watcher.on('put', () => onChange())
    },
  },
}
const reader = readers[who]

const microseconds = () => {
  const { user, system } = process.cpuUsage()
  return user + system
}

/** The list, how long it took, and how long the event loop stood still meanwhile. */
async function timed(name) {
  globalThis.gc()
  const pauses = watchPauses()
  const cpu = microseconds()
  const start = performance.now()
  const list = await reader.list(name)
  const wall = performance.now() - start
  const used = (microseconds() - cpu) / 1000
  pauses.end()
  return { ...list, cost: { wall, cpu: used, pause: pauses.longest } }
}

async function heap() {
  for (let i = 0; i < 3; i++) {
    globalThis.gc()
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

const tasks = {
  /** The first list of the process, and what it is when the code is warm. */
  async list({ name, again }) {
    const costs = []
    for (let i = 0; i <= again; i++) {
      const { cost, size, close } = await timed(name)
      costs.push({ ...cost, size })
      await close()
    }
    return costs
  },

  /** Bytes for each instance of a table that is held. */
  async memory({ name }) {
    const before = await heap()
    const list = await reader.list(name)
    const bytes = ((await heap()) - before) / list.size
    await list.close()
    return bytes
  },

  async watch({ name }) {
    await reader.watch(name, changed => heard(changed))
  },

  /** Microseconds of CPU for each of so many events, up to the one with a weight that none before has. */
  async events({ count, last }) {
    const all = new Promise(resolve => {
      heard = ({ weight }) => weight === last && resolve()
    })
    const before = microseconds()
    process.send({ ready: true })
    await all
    return (microseconds() - before) / count
  },

  /** Milliseconds from a put to its event, one at a time. */
  async latency({ key, values, count }) {
    const writer = new Etcd3({ hosts })
    const times = []
    for (let i = 0; i < count; i++) {
      const start = performance.now()
      const time = new Promise(resolve => {
        heard = () => resolve(performance.now() - start)
      })
      const put = writer
        .put(key)
        .value(values[i % values.length])
        .exec()
      times.push(await time)
      await put
    }
    writer.close()
    return times
  },
}

/** What is done with an event. */
let heard = () => {}

// So that both are connected, and etcd3 is loaded.
const { close } = await reader.list('few')
await close()
process.on('message', async ({ task, ...options }) => {
  process.send({ result: (await tasks[task](options)) ?? null })
})
process.on('disconnect', () => process.exit())
process.send({ result: 'connected' })
