import {
  type Decoded,
  type InstanceFormat,
  jsonFormat,
  plainFormat,
  type ServiceInstance,
} from '@etcd-register/core'
import { expect } from 'vitest'
import { makeInstance } from '../../src/instance/instance.ts'

export const json: InstanceFormat = jsonFormat()
export const plain: InstanceFormat = plainFormat()

/** An instance that has everything, each value another. */
export const full: ServiceInstance = makeInstance(
  {
    id: 'a-1',
    name: 'orders',
    host: '10.0.0.5',
    port: 8000,
    protocol: 'https',
    version: 'v1.2.3',
    zone: 'eu-1',
    weight: 50,
    metadata: { team: 'blue', note: '日本 "x"' },
    status: 'suspended',
  },
  '',
)

/** An instance that has what it must. */
export const bare: ServiceInstance = makeInstance(
  { id: '10.0.0.5:8000', name: 'orders', host: '10.0.0.5', port: 8000, protocol: 'http' },
  '',
)

export const bytes = (value: string | object): Buffer =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value))

/** The instance, or a failure that says why there is none. */
export function instanceOf(decoded: Decoded): ServiceInstance {
  if (!('instance' in decoded)) throw new Error(`no instance: ${JSON.stringify(decoded)}`)
  return decoded.instance
}

/** What every reader may rely on, whatever stood in etcd (G23). */
export function expectSafe(instance: ServiceInstance): void {
  const { host, port, protocol, metadata, endpoints, weight } = instance
  const frozen = [instance, metadata, endpoints].every(Object.isFrozen)
  const strings = Object.values(metadata).every(value => typeof value === 'string')
  expect({ frozen, strings, prototype: Object.getPrototypeOf(metadata) }).toEqual({
    frozen: true,
    strings: true,
    prototype: null,
  })
  expect(Object.getPrototypeOf(instance)).toBe(Object.prototype)
  expect(Object.keys(instance)).toEqual(Object.keys(bare))
  expect(port).toSatisfy((value: number) => Number.isInteger(value) && value >= 1 && value <= 65_535)
  expect(weight).toSatisfy((value: number) => Number.isInteger(value) && value >= 0 && value <= 1_000_000)
  expect(protocol).toMatch(/^[a-z][a-z0-9+.-]{0,31}$/)
  expect(host).toMatch(/^[A-Za-z0-9._:-]{1,254}$/)
  expect(['up', 'leaving', 'suspended']).toContain(instance.status)
  expect(endpoints.length).toBeGreaterThan(0)
  for (const endpoint of endpoints) {
    expect(endpoint).toMatch(/^[a-z][a-z0-9+.-]*:\/\/[A-Za-z0-9.:[\]_-]+:\d{1,5}$/)
    expect(() => new URL(endpoint)).not.toThrow()
  }
  expect(JSON.parse(JSON.stringify(instance))).toEqual({ ...instance, metadata: { ...metadata } })
}
