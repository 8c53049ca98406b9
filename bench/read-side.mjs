// What reading costs beside etcd3 on its own, in turns: the first list of many instances, one event, memory, and the way
// from a put to its event. usage: node bench/read-side.mjs [--rounds 7] [--instances 100000] [list memory events latency]
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { parseArgs } from 'node:util'
import { startEtcdBinary } from '@etcd-register/testing'
import { Etcd3 } from 'etcd3'
import { spread } from './statistics.mjs'

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '7' },
    instances: { type: 'string', default: '100000' },
  },
})
const rounds = Number(options.rounds)
const sizes = { few: 100, many: Number(options.instances) }
const EVENTS = 20_000
const LAST = 1000
const PUTS = 1000
const ABREAST = 64

/** As the format json writes them, some 220 bytes. */
function textOf(name, index, weight = 100) {
  const host = `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`
  return JSON.stringify({
    id: `${host}:8080`,
    name,
    version: '1.4.2',
    metadata: { commit: (index * 2654435761).toString(16).slice(0, 7), team: 'checkout' },
    endpoints: [`http://${host}:8080`],
    zone: `eu-central-1${'abc'[index % 3]}`,
    weight,
    status: 'up',
    format: 1,
  })
}
const keyOf = (name, index) => `/services/${name}/${JSON.parse(textOf(name, index)).id}`

async function abreast(count, run) {
  let next = 0
  const worker = async () => {
    while (next < count) await run(next++)
  }
  await Promise.all(Array.from({ length: Math.min(count, ABREAST) }, worker))
}

/** Each 100 instances under a lease of their own. */
async function fill(client, name, size) {
  await abreast(Math.ceil(size / 100), async batch => {
    const { ID } = await client.leaseClient.leaseGrant({ TTL: 3600 })
    const indices = Array.from({ length: Math.min(100, size - batch * 100) }, (_, i) => batch * 100 + i)
    const puts = indices.map(index => ({
      request_put: {
        key: Buffer.from(keyOf(name, index)),
        value: Buffer.from(textOf(name, index)),
        lease: ID,
      },
    }))
    await client.kv.txn({ success: puts })
  })
}

async function startReader(who, etcd) {
  const child = fork(new URL('reader.mjs', import.meta.url), [who, etcd.endpoint], {
    execArgv: ['--expose-gc'],
  })
  const ended = once(child, 'exit')
  const answer = async () => {
    const [message] = await Promise.race([
      once(child, 'message'),
      ended.then(([code]) => Promise.reject(new Error(`the reader (${who}) ended with ${code}`))),
    ])
    return message
  }
  await answer()
  return {
    async ask(task, details = {}, meanwhile = () => {}) {
      child.send({ task, ...details })
      let message = await answer()
      if (message.ready) {
        const [last] = await Promise.all([answer(), meanwhile()])
        message = last
      }
      return message.result
    },
    async stop() {
      child.kill('SIGKILL')
      await ended
    },
  }
}

const asked = { list: 'list', memory: 'memory', latency: 'latency' }

/** Both sides in turns, each time in a new process: `ours` and `etcd3`, a result a round. */
async function inTurns(etcd, task, details) {
  const results = { ours: [], etcd3: [] }
  for (let round = 0; round < rounds; round++) {
    for (const who of round % 2 ? ['etcd3', 'ours'] : ['ours', 'etcd3']) {
      const reader = await startReader(who, etcd)
      try {
        if (task === asked.latency) await reader.ask('watch', { name: 'few' })
        results[who].push(await reader.ask(task, details))
      } finally {
        await reader.stop()
      }
    }
  }
  return results
}

const quantile = (values, q) => values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) * q)]

function row({ ours, etcd3 }, digits) {
  const ratios = ours.map((value, i) => value / etcd3[i])
  return { ours: spread(ours, digits), etcd3: spread(etcd3, digits), ratio: spread(ratios, 2) }
}

const mapped = ({ ours, etcd3 }, pick) => ({ ours: ours.map(pick), etcd3: etcd3.map(pick) })

const measurements = {
  async list(etcd) {
    const again = 3
    const results = await inTurns(etcd, asked.list, { name: 'many', again })
    for (const costs of [...results.ours, ...results.etcd3].flat()) {
      if (costs.size !== sizes.many) throw new Error(`${costs.size} instances instead of ${sizes.many}`)
    }
    const later = what => costs =>
      quantile(
        costs.slice(1).map(cost => cost[what]),
        0.5,
      )
    return {
      'first list, ms': row(mapped(results, ([first]) => first.wall)),
      'first list, ms of CPU': row(mapped(results, ([first]) => first.cpu)),
      'longest pause, ms': row(mapped(results, ([first]) => first.pause)),
      'list again, ms': row(mapped(results, later('wall'))),
      'list again, ms of CPU': row(mapped(results, later('cpu'))),
      'list again, longest pause, ms': row(mapped(results, later('pause'))),
    }
  },

  async memory(etcd) {
    return { 'bytes an instance': row(await inTurns(etcd, asked.memory, { name: 'many' })) }
  },

  async latency(etcd) {
    const values = [1, 2].map(weight => textOf('few', 0, weight))
    const results = await inTurns(etcd, asked.latency, { key: keyOf('few', 0), values, count: PUTS + 200 })
    const at = q => times => quantile(times.slice(200), q)
    return {
      'put -> event, p50, ms': row(mapped(results, at(0.5)), 3),
      'put -> event, p99, ms': row(mapped(results, at(0.99)), 3),
    }
  },

  /** Ours with few instances and with many, in two processes that live on. */
  async events(etcd, client) {
    const results = { few: [], many: [] }
    const readers = {}
    try {
      for (const name of Object.keys(results)) {
        readers[name] = await startReader('ours', etcd)
        await readers[name].ask('watch', { name })
      }
      // The first round warms up.
      for (let round = 0; round <= rounds; round++) {
        for (const name of round % 2 ? ['many', 'few'] : ['few', 'many']) {
          const put = (index, weight) => client.put(keyOf(name, index)).value(textOf(name, index, weight))
          // No value twice, so that each is a change.
          const turns = Math.ceil(EVENTS / sizes[name])
          const cost = await readers[name].ask('events', { count: EVENTS, last: LAST }, async () => {
            await abreast(EVENTS, i => {
              const index = Math.floor(i * Math.max(1, sizes[name] / EVENTS)) % sizes[name]
              return put(index, 1 + ((round * turns + Math.floor(i / sizes[name])) % (LAST - 1)))
            })
            await put(0, LAST)
          })
          if (round > 0) results[name].push(cost)
        }
      }
    } finally {
      for (const reader of Object.values(readers)) await reader.stop()
    }
    return {
      'µs of CPU an event': {
        [`at ${sizes.many}`]: spread(results.many, 1),
        [`at ${sizes.few}`]: spread(results.few, 1),
        ratio: spread(
          results.many.map((cost, i) => cost / results.few[i]),
          2,
        ),
      },
    }
  },
}

const etcd = await startEtcdBinary()
const client = new Etcd3({ hosts: etcd.endpoint })
try {
  for (const [name, size] of Object.entries(sizes)) await fill(client, name, size)
  console.log(
    `${sizes.many} instances, ${rounds} rounds; median (middle half); Node ${process.version}, etcd ${etcd.version ?? ''}`,
  )
  for (const name of positionals.length > 0 ? positionals : Object.keys(measurements)) {
    console.table(await measurements[name](etcd, client))
  }
} finally {
  client.close()
  await etcd.stop()
}
