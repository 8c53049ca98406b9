import { createRequire } from 'node:module'
import * as core from '@etcd-register/core'
import * as adapter from '@etcd-register/koa'
import { expect, test } from 'vitest'

test('the package gives all of core, and etcdRegister', () => {
  expect(Object.keys(adapter).sort()).toEqual([...Object.keys(core), 'etcdRegister'].sort())
  for (const [name, value] of Object.entries(core)) expect(Reflect.get(adapter, name)).toBe(value)
})

test('so do both builds', async () => {
  const expected = Object.keys(adapter).sort()
  expect(Object.keys((await import('../dist/index.mjs' as string)) as object).sort()).toEqual(expected)
  expect(Object.keys(createRequire(import.meta.url)('../dist/index.cjs') as object).sort()).toEqual(expected)
})
