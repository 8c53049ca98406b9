// CPU of the server for each request, with the middleware, without, and with one that does nothing, in turns; and between
// two servers without, which is the noise. Several processes of each kind, since two of one kind differ, too.
// usage: node bench/middleware.mjs [rounds]
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { startEtcdBinary } from '@etcd-register/testing'
import { startApp } from './app.mjs'
import { spread } from './statistics.mjs'

const rounds = Number(process.argv[2] ?? 8)
const kinds = ['with', 'without', 'without', 'empty']
const sets = kinds.length
const requests = 4000
const load = fileURLToPath(new URL('load.mjs', import.meta.url))

async function microsecondsEach(app) {
  const before = await app.usage()
  await promisify(execFile)(process.execPath, [load, app.port, requests], { timeout: 60_000 })
  const after = await app.usage()
  return (after.microseconds - before.microseconds) / requests
}

/** One server of each kind: the CPU per request in each round but the first, which warms up. */
async function oneSet(framework, etcd, first) {
  const apps = []
  const costs = kinds.map(() => [])
  try {
    // The one that starts first is dearer, so each kind is the first once.
    for (let i = 0; i < kinds.length; i++) {
      const kind = (i + first) % kinds.length
      apps[kind] = await startApp(framework, kinds[kind], etcd)
    }
    for (let round = 0; round <= rounds; round++) {
      for (let i = 0; i < apps.length; i++) {
        const kind = (i + round) % apps.length
        const cost = await microsecondsEach(apps[kind])
        if (round > 0) costs[kind].push(cost)
      }
    }
  } finally {
    for (const app of apps) await app?.stop()
  }
  return costs
}

const etcd = await startEtcdBinary()
try {
  const rows = {}
  for (const framework of ['express', 'koa', 'nest']) {
    const all = kinds.map(() => [])
    for (let i = 0; i < sets; i++) {
      const costs = await oneSet(framework, etcd, i)
      for (const [kind, some] of costs.entries()) all[kind].push(...some)
    }
    const [adapted, plain, other, empty] = all
    const against = (costs, others) =>
      spread(
        costs.map((cost, i) => cost / others[i]),
        3,
      )
    const without = plain.map((cost, i) => (cost + other[i]) / 2)
    rows[framework] = {
      'without, µs': spread(plain, 1),
      'with / without': against(adapted, without),
      'with / empty': against(adapted, empty),
      'without / without': against(other, plain),
    }
  }
  console.log(
    `CPU for each request: ${sets} x ${rounds} rounds of ${requests} requests; median (middle half); Node ${process.version}`,
  )
  console.table(rows)
} finally {
  await etcd.stop()
}
