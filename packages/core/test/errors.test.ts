import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { EtcdRegisterError } from '@etcd-register/core'
import { describe, expect, test } from 'vitest'
import { etcdError } from '../src/etcd/client/grpc-errors.ts'
import { ERROR_CODES } from '../src/etcd/support/errors.ts'
import { errorFields } from '../src/etcd/support/logger.ts'

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

test('what is logged in place of an error is one of ours too', () => {
  const { err } = errorFields(new EtcdRegisterError('ERR_CLOSED', 'closed'))
  expect(err).toBeInstanceOf(EtcdRegisterError)
  expect(Object.keys(err)).toEqual(['name', 'message', 'code'])
})

test('instanceof a class that extends ours is true of its own instances only', async () => {
  const { EtcdRegisterError: Copy } = (await import('../dist/index.mjs' as string)) as {
    EtcdRegisterError: typeof EtcdRegisterError
  }
  class Mine extends EtcdRegisterError {}
  class Deeper extends Mine {}
  class OfCopy extends Copy {}
  const mine = new Mine('ERR_CLOSED', 'closed')
  const deeper = new Deeper('ERR_CLOSED', 'closed')
  expect(mine instanceof Mine && deeper instanceof Mine && deeper instanceof Deeper).toBe(true)
  for (const other of [new EtcdRegisterError('ERR_CLOSED', ''), new OfCopy('ERR_CLOSED', ''), undefined, {}])
    expect(other instanceof Mine).toBe(false)
  expect(mine instanceof Deeper).toBe(false)
  for (const error of [mine, deeper, new OfCopy('ERR_CLOSED', '')])
    expect(error instanceof EtcdRegisterError && error instanceof Copy).toBe(true)
})

test('docs/errors.md has one row for each code, and says of each whether it is retryable', () => {
  const page = readFileSync(new URL('../docs/errors.md', import.meta.url), 'utf8')
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
    ['15 DATA_LOSS: etcdserver: corrupt cluster', 'ERR_ETCD_CORRUPT'],
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
    expect(
      etcdError(new Error(denied), { ...context, username: undefined, commonName: 'shop' }).message,
    ).toMatch(/asked by user "shop", the CN of the client certificate, who needs a role/)
    expect(etcdError(new Error(denied), { ...context, keys: ['\0'] }).message).toMatch(/for all keys; grant/)
    const keys = Array.from({ length: 10 }, (_, i) => `/k/${i}`)
    expect(etcdError(new Error(denied), { ...context, keys: keys.slice(0, 2) }).message).toMatch(
      /permission for "\/k\/0", "\/k\/1"; grant it on their prefixes\.$/,
    )
    expect(etcdError(new Error(denied), { ...context, keys }).message).toMatch(/"\/k\/8" and others; grant/)
    expect(message('14 UNAVAILABLE: connect ECONNREFUSED', undefined)).toMatch(/"hosts" or ETCD_ENDPOINTS/)
  })

  test.each<[string, unknown]>([
    ['undefined', undefined],
    ['null', null],
    ['an empty text', ''],
    ['an empty object', {}],
    ['an error without a message', new Error()],
    ['an error with a blank message', new Error(' ')],
    ['an error whose cause has no message', new Error('', { cause: new Error() })],
    ['several errors without a message', new AggregateError([new Error(), null])],
    ['a text that says null', 'null'],
    ['an error of gRPC without a reason', new Error('14 UNAVAILABLE: ')],
    [
      'an error of gRPC with the reason null',
      new Error('14 UNAVAILABLE: No connection established. Last error: null. Resolution note: '),
    ],
    [
      'an error of gRPC with the reason undefined',
      new Error('14 UNAVAILABLE: No connection established. Last error: undefined. Resolution note: '),
    ],
    [
      'an error of gRPC with an empty reason',
      new Error('14 UNAVAILABLE: No connection established. Last error: . Resolution note: '),
    ],
    ['a deadline without a reason', new Error('4 DEADLINE_EXCEEDED: ')],
  ])('a cause that says nothing leaves no gap in the message: %s', (_, cause) => {
    for (const what of ['a read', 'a write', 'the watch stream']) {
      const { message } = etcdError(cause, { ...context, what })
      expect(message).toContain('(the connection ended, without a reason)')
      expect(message).not.toMatch(/null|undefined|\(\s*\)|\[object|AggregateError/)
    }
  })

  test.each([
    ['unrecognized name', /set tls\.serverName to a name that it routes by\.$/],
    ['no application protocol', /has to offer h2 by ALPN\.$/],
    ['protocol version', /other versions of TLS only\.$/],
    ['certificate required', /It takes no client without a certificate that it trusts/],
    ['internal error', /Check https:\/\/ in "hosts", and tls\.ca/],
  ])('a TLS alert says what to mend: %s', (alert, advice) => {
    const text = `14 UNAVAILABLE: No connection established. Last error: Error: 40A7:error:0A000461:SSL routines:ssl3_read_bytes:tlsv1 alert ${alert}:ssl/record/rec_layer_s3.c:1605:SSL alert number 1 (2026-01-01T00:00:00.000Z). Resolution note: `
    const error = etcdError(new Error(text), context)
    expect(error.code).toBe('ERR_ETCD_TLS')
    expect(error.message).toMatch(advice)
  })

  test('without what gRPC says of its inner life', () => {
    const text =
      '4 DEADLINE_EXCEEDED: Deadline exceeded after 2.986s,name resolution: 0.048s,Waiting for LB pick'
    expect(etcdError(new Error(text), context).message).toBe(
      'etcd at 10.0.0.1:2379 did not answer a write in time (no answer in 2.986s). Is it frozen or overloaded, or the link slow? Look at its load and disk, or raise requestTimeout.',
    )
  })

  test('HTTP/1.1 is told as something in between, wrong credentials of a function as its own', () => {
    const http = etcdError(
      new Error(
        '14 UNAVAILABLE: No connection established. Last error: Protocol error (2026-01-01T00:00:00.000Z). Resolution note: ',
      ),
      context,
    )
    expect(http.message).toContain('Something there answers, but not in HTTP/2')
    const auth = new Error(
      '3 INVALID_ARGUMENT: etcdserver: authentication failed, invalid user ID or password',
    )
    expect(etcdError(auth, { ...context, asked: true }).message).toMatch(
      /check what the function "auth" gives\.$/,
    )
  })

  test('a cause is read where it has its words: in a list of errors, in its own cause, in its code', () => {
    const detail = (cause: unknown) => /\((.*?)\)/.exec(etcdError(cause, context).message)?.[1]
    const refused = [
      new Error('connect ECONNREFUSED ::1:2379'),
      new Error('connect ECONNREFUSED 127.0.0.1:2379'),
    ]
    expect(detail(new AggregateError(refused))).toBe(
      'connect ECONNREFUSED ::1:2379; connect ECONNREFUSED 127.0.0.1:2379',
    )
    expect(detail(new Error('', { cause: new Error('too many open files') }))).toBe('too many open files')
    expect(detail(Object.assign(new Error(''), { code: 'ECONNRESET' }))).toBe('ECONNRESET')
    expect(detail({ message: 'no error, but an object' })).toBe('no error, but an object')
    expect(detail(42)).toBe('42')
  })

  test.each([
    ['12 UNIMPLEMENTED: Received HTTP status code 404', '404'],
    ['7 PERMISSION_DENIED: Received HTTP status code 403', '403'],
    ['16 UNAUTHENTICATED: Received HTTP status code 401', '401'],
    ['2 UNKNOWN: Received HTTP status code 302', '302'],
    ['14 UNAVAILABLE: Received HTTP status code 200 and text/html', '200 and text/html'],
  ])('the answer of a balancer is not one of etcd: %s', (text, status) => {
    expect(etcdError(new Error(text), context)).toMatchObject({
      code: 'ERR_ETCD_UNAVAILABLE',
      retryable: true,
      message: `Not etcd but a proxy or balancer in front of it at 10.0.0.1:2379 answered a write, with HTTP status ${status}. Check that it lets gRPC (HTTP/2) through and that there is an etcd behind it.`,
    })
  })

  test('one of ours passes through, and what is no error at all is told as text', () => {
    const ours = new EtcdRegisterError('ERR_CLOSED', 'closed')
    expect(etcdError(ours, context)).toBe(ours)
    expect(etcdError('14 UNAVAILABLE: gone', context)).toMatchObject({ code: 'ERR_ETCD_UNAVAILABLE' })
    expect(etcdError(undefined, context)).toMatchObject({ code: 'ERR_ETCD_UNAVAILABLE' })
  })
})

describe('the words of a server', () => {
  const harmful = 'one\u001b[31m\r\ntwo\u2028three\u202efour\u0007\ud800'
  const prefixes = [
    '2 UNKNOWN: ',
    '14 UNAVAILABLE: No connection established. Last error: ',
    '12 UNIMPLEMENTED: Received HTTP status code 404 ',
    '13 INTERNAL: Response message parsing error: ',
    '14 UNAVAILABLE: altnames certificate ',
    '',
  ]

  test.each(prefixes)('are shown as a bounded, escaped text after "%s"', prefix => {
    for (const text of [harmful, harmful.repeat(50_000)]) {
      const { message, cause } = etcdError(new Error(`${prefix}${text}`), context)
      for (const shown of [message, String(cause), String((cause as Error).stack)]) {
        expect(shown.replaceAll(/\n {4}at .*/g, '')).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u)
        expect(shown.length).toBeLessThan(3000)
      }
      expect(message).toContain('one\\u001b[31m\\u000d\\u000atwo')
      expect(message.length).toBeLessThan(700)
    }
  })

  test('and what gRPC attached to an error are no part of the cause', () => {
    const error = Object.assign(new Error('14 UNAVAILABLE: gone'), { code: 14, metadata: { x: harmful } })
    expect(etcdError(error, context).cause).not.toHaveProperty('metadata')
  })

  test.each([
    ['spaces', ' '],
    ['colons', ': '],
    ['parentheses', ' (2026-01-01T'],
    ['words of OpenSSL', 'error:a:'],
    ['words of a proxy', 'Received HTTP status code '],
    ['line breaks', '\n'],
  ])('are cut before any expression sees them: 1 MB of %s', (_, part) => {
    const exec = RegExp.prototype.exec
    let longest = 0
    RegExp.prototype.exec = function (text) {
      longest = Math.max(longest, text.length)
      return exec.call(this, text)
    }
    try {
      for (const prefix of prefixes)
        etcdError(new Error(`${prefix}x${part.repeat(1_000_000 / part.length)}x`), context)
    } finally {
      RegExp.prototype.exec = exec
    }
    expect(longest).toBeGreaterThan(100)
    expect(longest).toBeLessThan(2001)
  })

  test('do not give away what the server was sent', () => {
    const secrets = ['pa55word', 'token.of.etcd']
    const error = new Error('16 UNAUTHENTICATED: you sent pa55word, with token.of.etcd or pa55word')
    const { message, cause } = etcdError(error, { ...context, secrets })
    expect(message).toContain('you sent ***, with *** or ***')
    expect(`${message} ${cause} ${(cause as Error).stack}`).not.toMatch(/pa55word|token\.of\.etcd/)
  })
})
