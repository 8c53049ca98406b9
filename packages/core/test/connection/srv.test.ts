import { type EtcdMember, startEtcdBinary, startFaultProxy } from '@etcd-register/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { systemClock } from '../../src/etcd/support/clock.ts'
import type { RegistryOptions } from '../../src/registry/options.ts'
import { resolveOptions } from '../../src/registry/options.ts'
import { EtcdRegistry } from '../../src/registry/registry.ts'
import { type DnsServer, startDnsServer } from '../support/dns-server.ts'
import { leaseOf } from '../support/lease-of.ts'
import { forbidUnhandled } from '../support/unhandled.ts'
import { until } from '../support/until.ts'

forbidUnhandled()

let dns: DnsServer
let etcd: EtcdMember
let secure: EtcdMember

beforeAll(async () => {
  ;[dns, etcd, secure] = await Promise.all([
    startDnsServer(),
    startEtcdBinary(),
    startEtcdBinary({ tls: { server: { hosts: ['secure.test'] } } }),
  ])
})

afterAll(() => Promise.all([dns, etcd, secure].map(it => it?.stop())))

function registryOf(options: RegistryOptions) {
  const warnings: string[] = []
  const warn = (_: object, message: string) => void warnings.push(message)
  const logger = { debug: () => {}, info: () => {}, warn, error: warn }
  const resolved = resolveOptions({ ttl: 30, requestTimeout: 5000, logger, ...options }, {})
  const srv = { ...resolved.srv!, resolve: dns.resolve }
  return { registry: new EtcdRegistry({ ...resolved, srv }, systemClock), warnings }
}

const service = { port: 8000, host: '192.0.2.1' }

test.concurrent('DNS SRV records name the members, and are looked up again once none can be reached', async () => {
  const [before, after] = await Promise.all([startFaultProxy(etcd), startFaultProxy(etcd)])
  const portOf = ({ endpoint }: { endpoint: string }) => Number(new URL(endpoint).port)
  const name = '_etcd-client._tcp.moving.test'
  dns.records.set(name, [{ host: 'localhost', port: portOf(before) }])
  const { registry, warnings } = registryOf({ hosts: 'srv+http://moving.test' })
  try {
    expect(registry.status().etcd.hosts).toEqual([])
    const registration = registry.register({ name: 'moving', ...service })
    const discovery = registry.discover('moving')
    await Promise.all([registration.ready(), discovery.ready()])
    expect(registry.status().etcd.hosts).toEqual([`http://localhost:${portOf(before)}`])
    expect(warnings).toEqual([])

    dns.records.set(name, [{ host: 'localhost', port: portOf(after) }])
    await before.stop()
    await until(() => registry.status().etcd.hosts[0] === `http://localhost:${portOf(after)}`)
    await until(() => !discovery.stale && registration.state === 'registered')
    await registration.update({ weight: 7 })
    await until(() => discovery.instances[0]?.weight === 7)
    expect(leaseOf(registry).losses).toBe(0)
  } finally {
    await registry.close()
    await after.stop()
  }
})

test.concurrent('a lookup that fails is one warning that names the records, and tried again', async () => {
  const name = '_etcd-client._tcp.late.test'
  const { registry, warnings } = registryOf({ hosts: 'srv+http://late.test' })
  try {
    const registration = registry.register({ name: 'late', ...service })
    const discovery = registry.discover('late')
    await until(() => dns.questions.filter(question => question === name).length > 4)
    expect(warnings).toEqual([
      expect.stringMatching(/the SRV records of _etcd-client\._tcp\.late\.test cannot be read/),
    ])
    expect(registry.status().etcd).toMatchObject({ connection: 'down', hosts: [] })
    dns.records.set(name, [{ host: 'bad host', port: etcd.port }])
    const lastError = () => registry.status().etcd.lastError?.message
    await until(() => lastError()?.includes('("bad host" is no host)'))
    dns.records.set(name, [{ host: 'localhost', port: etcd.port }])
    await Promise.all([registration.ready(), discovery.ready()])
    expect(warnings.slice(1)).toEqual([
      expect.stringMatching(/answers again$/),
      'registered: late 192.0.2.1:8000',
    ])
  } finally {
    await registry.close()
  }
})

test.concurrent('while DNS fails, the members that were found are used on', async () => {
  const name = '_etcd-client._tcp.forgotten.test'
  const proxy = await startFaultProxy(etcd)
  dns.records.set(name, [{ host: 'localhost', port: Number(new URL(proxy.endpoint).port) }])
  const { registry } = registryOf({ hosts: 'srv+http://forgotten.test' })
  try {
    const discovery = registry.discover('forgotten')
    await discovery.ready()
    dns.records.delete(name)
    const asked = () => dns.questions.filter(question => question === name).length
    proxy.cut()
    await until(() => asked() > 2)
    proxy.restore()
    await until(() => !discovery.stale)
  } finally {
    await registry.close()
    await proxy.stop()
  }
})

test.concurrent('with TLS the certificate has to be for the domain', async () => {
  const target = [{ host: 'localhost', port: secure.port }]
  dns.records.set('_etcd-client-ssl._tcp.secure.test', target)
  dns.records.set('_etcd-client-ssl._tcp.other.test', target)
  const tls = { ca: secure.tls!.ca }
  const right = registryOf({ hosts: 'srv+https://secure.test', tls })
  const wrong = registryOf({ hosts: 'srv+https://other.test', tls })
  try {
    await right.registry.register({ name: 'secure', ...service }).ready()
    expect(right.warnings).toEqual([])
    await expect(wrong.registry.discover('secure').ready()).rejects.toMatchObject({ code: 'ERR_ETCD_TLS' })
  } finally {
    await Promise.all([right.registry.close(), wrong.registry.close()])
  }
})
