// What a restart of etcd within the TTL costs a process with much in it: leases lost, and how long until all is current.
//   node bench/restart-at-scale.mjs registrations 1000 | discoveries 4000 | departed 4000
import { setTimeout as sleep } from 'node:timers/promises'
import { createRegistry } from '@etcd-register/core'
import { startEtcdBinary } from '@etcd-register/testing'

const [what = 'registrations', count = '1000'] = process.argv.slice(2)
const etcd = await startEtcdBinary()
const warnings = []
const note = (_, message) => warnings.push(message.slice(0, 160))
const ignore = () => {}
const registry = createRegistry({
  hosts: etcd.endpoint,
  ttl: 10,
  logger: { debug: ignore, info: ignore, warn: note, error: note },
})
const service = i => ({ name: `service-${i}`, port: 1000 + (i % 60_000), host: '127.0.0.1' })
const since = from => `${Math.round(performance.now() - from)} ms`

async function all(done) {
  const from = performance.now()
  while (!done()) {
    if (performance.now() - from > 90_000) return 'not within 90 s'
    await sleep(20)
  }
  return since(from)
}

const began = performance.now()
const own = registry.register(service(0))
await own.ready()
const others = Array.from({ length: Number(count) - 1 }, (_, i) => i + 1)
const discoveries = []
if (what === 'discoveries') {
  for (const i of others) discoveries.push(registry.discover(`service-${i}`))
  await Promise.all(discoveries.map(discovery => discovery.ready()))
} else {
  const registrations = others.map(i => registry.register(service(i)))
  await Promise.all(registrations.map(registration => registration.ready()))
  if (what === 'departed')
    await Promise.all(registrations.map(registration => registration.deregister({ timeout: 60_000 })))
}
console.log(
  `${count} ${what} within ${since(began)}, on etcd ${(await etcd.etcdctl('version')).match(/\d+\.\d+\.\d+/)[0]}`,
)
const before = await etcd.requests()
let worst = 0
let last = performance.now()
const beat = setInterval(() => {
  const now = performance.now()
  worst = Math.max(worst, now - last - 10)
  last = now
}, 10)
await etcd.restart()
const states = () => registry.status().registrations
console.log(`fresh again: ${await all(() => discoveries.every(({ stale }) => !stale))}`)
await sleep(15_000)
console.log(`registered: ${await all(() => states().every(({ state }) => state === 'registered'))}`)
const losses = states().reduce((sum, { lease }) => sum + lease.losses, 0)
clearInterval(beat)
console.log({
  losses,
  longestPause: Math.round(worst),
  before,
  after: await etcd.requests(),
  warnings: warnings.slice(0, 6),
})
await registry.close()
await etcd.stop()
