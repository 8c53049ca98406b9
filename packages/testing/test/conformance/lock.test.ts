import { expect } from 'vitest'
import type { Answer } from '../support/etcd-client.ts'
import { conform } from './conform.ts'

const unknown = (details: string) => ({ code: 2, details })

conform('Lock', (test, etcd) => {
  const granted = async () => (await etcd.call('LeaseGrant', { TTL: 600 })).ID as string
  const hex = (ID: string) => BigInt(ID).toString(16)

  test('a lock is a key of its lease, and can be had again by the same one', async () => {
    const lease = await granted()
    const before = await etcd.revision()
    for (let times = 0; times < 2; times++) {
      const { key, header } = await etcd.call('Lock', { name: etcd.key('lock'), lease })
      expect(String(key)).toBe(`${etcd.key('lock')}/${hex(lease)}`)
      expect(Number(header.revision)).toBe(before + 1)
    }
    expect((await etcd.range()).kvs[0]).toMatchObject({ lease, value: Buffer.alloc(0) })
  })

  test('who brings no lease is given one of a minute', async () => {
    const { key } = await etcd.call('Lock', { name: etcd.key('lock') })
    const ID = BigInt(`0x${String(key).split('/').at(-1)}`).toString()
    expect(await etcd.call('LeaseTimeToLive', { ID })).toMatchObject({ grantedTTL: '60' })
  })

  test('others wait until it is unlocked, in the order in which they came', async () => {
    const locks: Answer[] = []
    const name = etcd.key('lock')
    const one = await etcd.call('Lock', { name, lease: await granted() })
    const waiting = []
    for (const at of [1, 2]) {
      const lease = await granted()
      waiting.push(etcd.call('Lock', { name, lease }).then(lock => locks.push(lock)))
      await expect.poll(async () => (await etcd.range()).count).toBe(String(at + 1))
    }
    expect(locks).toEqual([])
    const { header } = await etcd.call('Unlock', { key: one.key })
    await waiting[0]
    expect(locks).toHaveLength(1)
    expect(locks[0].header.revision).toBe(header.revision)
    await etcd.call('Unlock', { key: locks[0].key })
    await waiting[1]
    expect(String(locks[1].key)).not.toBe(String(locks[0].key))
  })

  test('a lease that ends gives the lock to the next one', async () => {
    const [first, second] = [await granted(), await granted()]
    const name = etcd.key('lock')
    await etcd.call('Lock', { name, lease: first })
    const next = etcd.call('Lock', { name, lease: second })
    await expect.poll(async () => (await etcd.range()).count).toBe('2')
    await etcd.call('LeaseRevoke', { ID: first })
    expect(String((await next).key)).toBe(`${name}/${hex(second)}`)
  })

  test('who no longer waits does not stand in line', async () => {
    const [first, second] = [await granted(), await granted()]
    const name = etcd.key('lock')
    await etcd.call('Lock', { name, lease: first })
    await expect(etcd.call('Lock', { name, lease: second }, undefined, 300)).rejects.toThrow()
    await expect.poll(async () => (await etcd.range()).count).toBe('1')
  })

  test('refusals are those of its calls, without their codes', async () => {
    await expect(etcd.call('Lock', { name: 'a', lease: 4711 })).rejects.toMatchObject(
      unknown('etcdserver: requested lease not found'),
    )
    await expect(etcd.call('Unlock', {})).rejects.toMatchObject(unknown('etcdserver: key is not provided'))
    const before = await etcd.revision()
    const { header } = await etcd.call('Unlock', { key: etcd.key('none') })
    expect(Number(header.revision)).toBe(before)
  })
})

conform('Election', (test, etcd) => {
  const granted = async () => (await etcd.call('LeaseGrant', { TTL: 600 })).ID as string
  const name = () => etcd.key('election')
  const campaign = (lease: string, value: string) => etcd.call('Campaign', { name: name(), lease, value })
  const said = ({ kv }: Answer) => String(kv.value)

  test('who campaigns alone leads, and may say something else', async () => {
    const lease = await granted()
    const { leader, header } = await campaign(lease, 'one')
    expect(leader).toMatchObject({ name: Buffer.from(name()), rev: header.revision, lease })
    const told = await etcd.call('Leader', { name: name() })
    expect(told).toMatchObject({
      header,
      kv: { value: Buffer.from('one'), create_revision: leader.rev, lease },
    })
    await etcd.call('Proclaim', { leader, value: 'two' })
    expect(said(await etcd.call('Leader', { name: name() }))).toBe('two')
    expect((await campaign(lease, 'three')).leader).toEqual(leader)
    expect(said(await etcd.call('Leader', { name: name() }))).toBe('three')
  })

  test('others wait until it resigns', async () => {
    const [one, other] = [await granted(), await granted()]
    const { leader } = await campaign(one, 'one')
    const next = campaign(other, 'other')
    await expect.poll(async () => (await etcd.range()).count).toBe('2')
    expect(said(await etcd.call('Leader', { name: name() }))).toBe('one')
    await etcd.call('Resign', { leader })
    expect((await next).leader.lease).toBe(other)
    expect(said(await etcd.call('Leader', { name: name() }))).toBe('other')
  })

  test('who no longer waits does not stand in line', async () => {
    await campaign(await granted(), 'one')
    const request = { name: name(), lease: await granted(), value: 'other' }
    await expect(etcd.call('Campaign', request, undefined, 300)).rejects.toThrow()
    await expect.poll(async () => (await etcd.range()).count).toBe('1')
  })

  test('who observes is told each leader and all that it says', async () => {
    const stream = etcd.feed('Observe', { name: name() })
    const [one, other] = [await granted(), await granted()]
    const { leader } = await campaign(one, 'one')
    const first = await stream.next()
    expect([said(first), first.header.revision]).toEqual(['one', leader.rev])
    await etcd.call('Proclaim', { leader, value: 'two' })
    expect(said(await stream.next())).toBe('two')
    const next = campaign(other, 'other')
    await expect.poll(async () => (await etcd.range()).count).toBe('2')
    await etcd.call('Resign', { leader })
    await next
    expect(said(await stream.next())).toBe('other')
    const late = etcd.feed('Observe', { name: name() })
    expect(said(await late.next())).toBe('other')
  })

  test('refusals come without their codes', async () => {
    const refused = async (rpc: string, request: object, details: string) =>
      expect(etcd.call(rpc, request)).rejects.toMatchObject(unknown(details))
    const lease = await granted()
    await refused('Leader', { name: name() }, 'election: no leader')
    await refused('Proclaim', { value: 'x' }, '"leader" field must be provided')
    await refused('Resign', {}, '"leader" field must be provided')
    await refused('Campaign', { name: name(), lease: 4711 }, 'etcdserver: requested lease not found')
    const { leader } = await campaign(lease, 'one')
    await refused('Proclaim', { leader: { ...leader, rev: 1 }, value: 'x' }, 'election: not leader')
    await etcd.call('Resign', { leader: { ...leader, rev: 1 } })
    expect(said(await etcd.call('Leader', { name: name() }))).toBe('one')
    await etcd.call('Resign', { leader })
    await etcd.call('Resign', { leader })
    await refused('Proclaim', { leader, value: 'x' }, 'election: not leader')
  })
})

conform(
  'Lock and Election with authentication',
  (test, etcd) => {
    test('they need the permissions of their calls', async () => {
      const login = async (name: string) =>
        (await etcd.call('Authenticate', { name, password: name })).token as string
      const [root, user] = [await login('root'), await login('user')]
      const { key } = await etcd.call('Lock', { name: 'user/a' }, user)
      await etcd.call('Unlock', { key }, user)
      const { ID: lease } = await etcd.call('LeaseGrant', { TTL: 600 }, root)
      const denied = unknown('etcdserver: permission denied')
      for (const [rpc, request] of [
        ['Lock', { name: 'other', lease }],
        ['Unlock', { key: 'other/a' }],
        ['Campaign', { name: 'other', lease }],
        ['Leader', { name: 'other' }],
        ['Proclaim', { leader: { name: 'other', key: 'other/1', rev: 1, lease } }],
        ['Resign', { leader: { name: 'other', key: 'other/1', rev: 1, lease } }],
      ] as const) {
        await expect(etcd.call(rpc, request, user), rpc).rejects.toMatchObject(denied)
        await expect(etcd.call(rpc, request), rpc).rejects.toMatchObject(
          unknown('etcdserver: user name is empty'),
        )
        await expect(etcd.call(rpc, request, 'none.1'), rpc).rejects.toMatchObject(
          unknown('etcdserver: invalid auth token'),
        )
      }
      // without a word
      expect(await etcd.feed('Observe', { name: 'other' }, user).next()).toMatchObject({ code: 0 })
    })
  },
  {
    auth: {
      rootPassword: 'root',
      users: [{ name: 'user', password: 'user', role: { prefix: 'user/', permission: 'readwrite' } }],
    },
  },
)
