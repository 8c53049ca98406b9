import { type InstanceFormat, jsonFormat } from '@etcd-register/core'
import { describe, expect, it } from 'vitest'
import { type Clock, systemClock } from '../../src/etcd/support/clock.ts'
import { resolveFormats } from '../../src/formats/index.ts'
import { resolveService } from '../../src/instance/service-options.ts'
import { InstanceRecord } from '../../src/registration/record.ts'
import { resolveOptions } from '../../src/registry/options.ts'
import { EtcdRegistry } from '../../src/registry/registry.ts'
import { leases, rows } from '../support/etcdctl-table.ts'
import { leaseOf } from '../support/lease-of.ts'
import { forbidUnhandled } from '../support/unhandled.ts'
import { until } from '../support/until.ts'
import { anEtcd, aRegistry, ORDERS_KEY, orders, registered, statusOf } from '../support/write-side.ts'

forbidUnhandled()

type Encode = InstanceFormat['encode']

/** A format of one's own whose `encode` fails when the test says so. */
function aFormat(fails: (...args: Parameters<Encode>) => boolean): InstanceFormat {
  const json = jsonFormat()
  const encode: Encode = (...args) => {
    if (fails(...args)) throw new Error('boom')
    return json.encode(...args)
  }
  return { ...json, name: 'moody', encode }
}

const boom = {
  code: 'ERR_INVALID_OPTION',
  message: expect.stringContaining('encode() of "moody" did: Error: boom'),
}

describe.concurrent('a format of one’s own that fails to write', () => {
  it('an instance that is leaving, keeps nothing in etcd', async test => {
    const etcd = await anEtcd(test)
    const registry = aRegistry(test, etcd, { format: aFormat(({ status }) => status === 'leaving') })
    const registration = await registered(registry)
    await registration.deregister()
    expect(registration.state).toBe('closed')
    expect(await rows(etcd)).toEqual([])
    expect(await leases(etcd)).toEqual([])
  })

  it('under a real lease, is told of by ready() and once in the log, and can be closed', async test => {
    const etcd = await anEtcd(test)
    const registry = aRegistry(test, etcd, { format: aFormat((_, { leaseId }) => leaseId.length > 1) })
    const registration = registry.register(orders())
    await expect(registration.ready()).rejects.toMatchObject(boom)
    expect(registry.status().registrations).toMatchObject([{ state: 'registering', lastError: boom }])
    expect(registration.instance.id).toBe('192.0.2.1:8000')
    const failures = new Set<string | undefined>()
    await until(() => failures.add(registry.status().registrations[0]!.lastError?.at).size > 2)
    expect(registry.warnings).toHaveLength(1)
    await registry.close()
    expect(await leases(etcd)).toEqual([])
  })

  it('while it suspends, has it back when it resumes', async test => {
    const etcd = await anEtcd(test)
    const format = aFormat(({ status }) => status === 'suspended')
    const registration = await registered(aRegistry(test, etcd, { format }))
    await expect(registration.suspend()).rejects.toMatchObject(boom)
    await registration.resume()
    expect(registration.state).toBe('registered')
    await registration.update({ weight: 5 })
  })

  it('an id for the address that was found, leaves what is shown as it was', () => {
    const defaults = {
      id({ address }: { address: string }) {
        if (address.startsWith('192.')) throw new Error('boom')
        return address
      },
    }
    const formats = resolveFormats({ ...jsonFormat(), defaults }, { default: '/services' })
    const advertised = new InstanceRecord(
      resolveService({ name: 'orders', port: 8000 }),
      '127.0.0.1',
      formats,
    )
    expect(() => {
      advertised.host = '192.0.2.1'
    }).toThrow('boom')
    expect(advertised.instance()).toMatchObject({ id: '127.0.0.1:8000', host: '127.0.0.1' })
  })

  it('an instance that is not up, is not asked for one where it says that it has no status', async test => {
    const etcd = await anEtcd(test)
    const moody = aFormat(({ status }) => status !== 'up')
    const format = { ...moody, capabilities: { ...moody.capabilities, status: false } }
    const registry = aRegistry(test, etcd, { format })
    const registration = registry.register(orders())
    await registration.suspend()
    expect(registration.instance.key).toBe(ORDERS_KEY)
    expect(registry.warnings).toEqual([])
    await registration.resume()
    await registration.deregister()
    expect(await rows(etcd)).toEqual([])
  })

  it.for([
    ['its lease is revoked', (lease: string) => ['lease', 'revoke', lease]],
    [
      'its key is overwritten under its lease',
      (lease: string) => ['put', ORDERS_KEY, '{}', `--lease=${lease}`],
    ],
    ['its key is deleted', () => ['del', ORDERS_KEY]],
  ] as const)(
    'for a while, in which %s, is back with it; another instance is untouched',
    async ([, meddle], test) => {
      const etcd = await anEtcd(test)
      let fails = false
      const format = aFormat(({ name }) => fails && name === 'orders')
      const registry = aRegistry(test, etcd, { format })
      const registration = await registered(registry)
      const other = await registered(registry, orders({ name: 'other' }))
      for (const _ of [1, 2]) {
        fails = true
        await etcd.etcdctl(...meddle(leaseOf(registry).id!))
        await until(() => registration.state === 'lost')
        await until(() => statusOf(registry, registration).lastError !== undefined)
        await until(() => other.state === 'registered')
        expect(registration.instance.key).toBe(ORDERS_KEY)
        fails = false
        await until(() => registration.state === 'registered')
        expect(statusOf(registry, registration).lastError).toBeUndefined()
      }
      expect(registration.instance.key).toBe(ORDERS_KEY)
      // Twice in a minute is told of once.
      expect(registry.warnings.filter(text => text.includes('boom'))).toHaveLength(1)
      const lease = leaseOf(registry)
      expect(await rows(etcd)).toMatchObject([{ key: ORDERS_KEY, lease: lease.id }, {}])
      await registry.close()
      expect(await rows(etcd)).toEqual([])
    },
  )

  it('again after a write that succeeded, is asked again as soon as the first time', async test => {
    const etcd = await anEtcd(test)
    let fails = true
    const format = aFormat((_, { leaseId }) => fails && leaseId.length > 1)
    // Half of what grows from 200 ms by half each time.
    const backoffs = [100, 150, 225, 337.5]
    const waits: number[] = []
    const after: Clock['after'] = (ms, fn) => {
      if (backoffs.includes(ms)) waits.push(ms)
      fails &&= ms !== 225
      return systemClock.after(ms, fn)
    }
    const options = resolveOptions({ hosts: etcd.endpoint, format, logger: false }, {})
    const registry = new EtcdRegistry(options, { ...systemClock, after, random: () => 0.5 })
    test.onTestFinished(() => registry.close())
    const registration = registry.register(orders())
    await until(() => registration.state === 'registered')
    fails = true
    await expect(registration.update({ weight: 5 })).rejects.toMatchObject(boom)
    fails = false
    await until(async () => (await rows(etcd)).some(({ value }) => value.includes('"weight":5')))
    expect(waits).toEqual([100, 150, 225, 100])
  })
})
