import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { EtcdRegisterError } from '@etcd-register/core'
import { describe, expect, test } from 'vitest'
import { ERROR_CODES } from '../src/errors.ts'
import { etcdError } from '../src/etcd/errors.ts'

const context = { what: 'a write', where: '10.0.0.1:2379', username: 'orders' }

test('instanceof holds across copies of the package', async () => {
  const require = createRequire(import.meta.url)
  const copies = [
    EtcdRegisterError,
    (require('../dist/index.cjs') as { EtcdRegisterError: typeof EtcdRegisterError }).EtcdRegisterError,
    ((await import('../dist/index.mjs' as string)) as { EtcdRegisterError: typeof EtcdRegisterError })
      .EtcdRegisterError,
  ]
  expect(new Set(copies).size).toBe(3)
  for (const Thrower of copies) {
    const error = new Thrower('ERR_CLOSED', 'closed', { cause: 'why' })
    for (const Catcher of copies) expect(error instanceof Catcher).toBe(true)
    expect(error).toMatchObject({
      name: 'EtcdRegisterError',
      code: 'ERR_CLOSED',
      retryable: false,
      cause: 'why',
    })
  }
  for (const other of [new Error('x'), undefined, null, 'ERR_CLOSED', {}, { code: 'ERR_CLOSED' }]) {
    expect(other instanceof EtcdRegisterError).toBe(false)
  }
})

test('docs/errors.md has one row for each code, and says of each whether it is retryable', () => {
  const page = readFileSync(new URL('../../../docs/errors.md', import.meta.url), 'utf8')
  const rows = [...page.matchAll(/^\| `(ERR_\w+)` \|(.*)\|$/gm)].map(([, code, rest]) => ({
    code,
    cells: rest!.split('|').map(cell => cell.trim()),
  }))
  expect(rows.map(({ code }) => code)).toEqual(ERROR_CODES)
  for (const { code, cells } of rows) {
    expect(cells, code).toHaveLength(4)
    expect(
      cells.every(cell => cell !== ''),
      code,
    ).toBe(true)
    expect(cells[0], code).toBe(new EtcdRegisterError(code as never, '').retryable ? 'yes' : 'no')
  }
})

describe('what gRPC and etcd say becomes one of our codes', () => {
  test.each([
    ['14 UNAVAILABLE: No connection established', 'ERR_ETCD_UNAVAILABLE'],
    ['EtcdError: 14 UNAVAILABLE: Connection dropped', 'ERR_ETCD_UNAVAILABLE'],
    ['getaddrinfo ENOTFOUND etcd', 'ERR_ETCD_UNAVAILABLE'],
    ['4 DEADLINE_EXCEEDED: Deadline exceeded', 'ERR_ETCD_TIMEOUT'],
    ['14 UNAVAILABLE: No connection established. Last error: Error: self-signed certificate', 'ERR_ETCD_TLS'],
    ['14 UNAVAILABLE: No connection established. Last error: write EPROTO ssl3_get_record', 'ERR_ETCD_TLS'],
    ['3 INVALID_ARGUMENT: etcdserver: authentication failed, invalid user ID or password', 'ERR_ETCD_AUTH'],
    ['16 UNAUTHENTICATED: etcdserver: invalid auth token', 'ERR_ETCD_AUTH'],
    ['2 UNKNOWN: etcdserver: user name is empty', 'ERR_ETCD_AUTH'],
    ['9 FAILED_PRECONDITION: etcdserver: authentication is not enabled', 'ERR_ETCD_AUTH'],
    ['7 PERMISSION_DENIED: etcdserver: permission denied', 'ERR_ETCD_PERMISSION'],
    ['2 UNKNOWN: etcdserver: permission denied', 'ERR_ETCD_PERMISSION'],
    ['8 RESOURCE_EXHAUSTED: etcdserver: mvcc: database space exceeded', 'ERR_ETCD_NO_SPACE'],
    ['3 INVALID_ARGUMENT: etcdserver: request is too large', 'ERR_ETCD_REQUEST'],
    ['8 RESOURCE_EXHAUSTED: Received message larger than max (9 vs. 4)', 'ERR_ETCD_REQUEST'],
    ['11 OUT_OF_RANGE: etcdserver: mvcc: required revision has been compacted', 'ERR_ETCD_COMPACTED'],
    ['11 OUT_OF_RANGE: etcdserver: mvcc: required revision is a future revision', 'ERR_ETCD_FUTURE_REVISION'],
    ['5 NOT_FOUND: etcdserver: requested lease not found', 'ERR_ETCD_LEASE_NOT_FOUND'],
    ['12 UNIMPLEMENTED: unknown method', 'ERR_ETCD_REQUEST'],
    ['2 UNKNOWN: etcdserver: something new', 'ERR_ETCD_REQUEST'],
  ])('%s', (text, code) => {
    const cause = new Error(text)
    const error = etcdError(cause, context)
    expect(error).toMatchObject({ code, cause })
    expect(error.message).toContain('10.0.0.1:2379')
    // etcd's own words stay, without gRPC's ornaments
    expect(error.message).toContain(text.replace(/^.*: /, ''))
    expect(error.message).not.toMatch(/\d+ [A-Z_]+:|etcdserver|Resolution note/)
  })

  test('with the fix in it where there is one', () => {
    const message = (text: string, username: string | undefined, what = context.what) =>
      etcdError(new Error(text), { ...context, username, what }).message
    expect(message('16 UNAUTHENTICATED: etcdserver: invalid auth token', 'orders')).toMatch(
      /user "orders"; check auth.username and auth.password/,
    )
    expect(message('2 UNKNOWN: etcdserver: user name is empty', undefined)).toMatch(/It was given no user/)
    expect(message('9 FAILED_PRECONDITION: etcdserver: authentication is not enabled', 'orders')).toMatch(
      /leave out "auth"/,
    )
    const denied = '7 PERMISSION_DENIED: etcdserver: permission denied'
    for (const [what, permission] of [
      ['a read', 'read'],
      ['a watch', 'read'],
      ['a write', 'readwrite'],
    ]) {
      expect(message(denied, 'orders', what)).toContain(
        `user "orders", who needs a role with ${permission} permission on the prefix`,
      )
    }
    expect(etcdError(new Error(denied), { ...context, keys: ['\0'] }).message).toMatch(/for all keys; grant/)
    const keys = Array.from({ length: 10 }, (_, i) => `/k/${i}`)
    expect(etcdError(new Error(denied), { ...context, keys: keys.slice(0, 2) }).message).toMatch(
      /permission for "\/k\/0", "\/k\/1"; grant it on their prefixes\.$/,
    )
    expect(etcdError(new Error(denied), { ...context, keys }).message).toMatch(/"\/k\/8" and others; grant/)
    expect(message('14 UNAVAILABLE: connect ECONNREFUSED', undefined)).toMatch(/"hosts" or ETCD_ENDPOINTS/)
  })

  test('one of ours passes through, and what is no error at all is told as text', () => {
    const ours = new EtcdRegisterError('ERR_CLOSED', 'closed')
    expect(etcdError(ours, context)).toBe(ours)
    expect(etcdError('14 UNAVAILABLE: gone', context)).toMatchObject({ code: 'ERR_ETCD_UNAVAILABLE' })
    expect(etcdError(undefined, context)).toMatchObject({ code: 'ERR_ETCD_UNAVAILABLE' })
  })
})
