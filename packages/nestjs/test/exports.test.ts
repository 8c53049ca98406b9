import 'reflect-metadata'
import * as core from '@etcd-register/core'
import * as adapter from '@etcd-register/nestjs'
import { expect, test } from 'vitest'

test('the package gives all of core, the module, its decorators, tokens and the health indicator', () => {
  for (const [name, value] of Object.entries(core)) expect(Reflect.get(adapter, name)).toBe(value)
  const own = Object.keys(adapter).filter(name => !(name in core))
  expect(own.sort()).toEqual([
    'ETCD_REGISTRATION',
    'ETCD_REGISTRY',
    'EtcdHealthIndicator',
    'EtcdModule',
    'InjectDiscovery',
    'InjectRegistration',
    'InjectRegistry',
    'getDiscoveryToken',
  ])
})
