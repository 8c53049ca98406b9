// A fleet that comes back after etcd was away: how soon, and how many leases etcd grants a second meanwhile. Each registrant
// is a registry of its own, as in a process of its own.
//   node bench/outage.mjs 1000 60 | registrants, and seconds of the outage
import { setTimeout as sleep } from 'node:timers/promises'
import { createRegistry } from '@etcd-register/core'
import { startEtcdBinary } from '@etcd-register/testing'

const [count = 1000, outage = 60] = process.argv.slice(2).map(Number)
const etcd = await startEtcdBinary()
const registries = Array.from({ length: count }, () =>
  createRegistry({ hosts: etcd.endpoint, ttl: 10, logger: false }),
)
const registrations = []
for (const [i, registry] of registries.entries()) {
  registrations.push(registry.register({ name: 'orders', host: '127.0.0.1', port: 1000 + i }))
  // Processes of a fleet do not start at once.
  if (i % 20 === 19) await Promise.all(registrations.slice(-20).map(registration => registration.ready()))
}
await etcd.kill()
await sleep(outage * 1000)
await etcd.restart()
const began = performance.now()
let last = { at: began, grants: 0 }
let peak = 0
const isBack = () => registrations.every(({ state }) => state === 'registered')
while (!isBack() && performance.now() - began < 60_000) {
  await sleep(250)
  const grants = (await etcd.requests()).LeaseGrant ?? 0
  const at = performance.now()
  peak = Math.max(peak, ((grants - last.grants) * 1000) / (at - last.at))
  last = { at, grants }
}
console.log(
  `${count} registrants after ${outage} s without etcd: ${isBack() ? 'all' : 'not all'} back within ${((performance.now() - began) / 1000).toFixed(1)} s`,
)
console.log(`leases granted: ${last.grants}, at the peak ${Math.round(peak)} a second`)
await Promise.all(registries.map(registry => registry.close()))
await etcd.stop()
