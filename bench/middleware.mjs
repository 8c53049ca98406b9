// CPU of the server for each request, with the middleware and without, in turns; and between two servers without, which
// is the noise. Three processes of each kind, since two of one kind differ, too. usage: node bench/middleware.mjs [rounds]
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { startEtcdBinary } from '@etcd-register/testing'
import { startApp } from './app.mjs'
import { spread } from './statistics.mjs'

const rounds = Number(process.argv[2] ?? 8)
const trios = 3
const requests = 4000
const load = fileURLToPath(new URL('load.mjs', import.meta.url))

async function microsecondsEach(app) {
  const before = await app.usage()
  await promisify(execFile)(process.execPath, [load, app.port, requests], { timeout: 60_000 })
  const after = await app.usage()
  return (after.microseconds - before.microseconds) / requests
}

/** One server of each kind: the CPU per request in each round but the first, which warms up. */
async function trio(framework, etcd, first) {
  const kinds = ['with', 'without', 'without']
  const apps = []
  const costs = [[], [], []]
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
    const [adapted, plain, other] = [[], [], []]
    for (let i = 0; i < trios; i++) {
      const costs = await trio(framework, etcd, i)
      for (const [kind, all] of [adapted, plain, other].entries()) all.push(...costs[kind])
    }
    rows[framework] = {
      'without, µs': spread(plain, 1),
      'with, µs': spread(adapted, 1),
      'with / without': spread(
        adapted.map((cost, i) => (2 * cost) / (plain[i] + other[i])),
        3,
      ),
      'without / without': spread(
        other.map((cost, i) => cost / plain[i]),
        3,
      ),
    }
  }
  console.log(
    `CPU for each request: ${trios} x ${rounds} rounds of ${requests} requests; median (middle half); Node ${process.version}`,
  )
  console.table(rows)
} finally {
  await etcd.stop()
}
