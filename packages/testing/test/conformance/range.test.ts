import { expect } from 'vitest'
import { conform, endOf, keysOf, refusal, since } from './conform.ts'

conform('Range', (test, etcd) => {
  const fill = async (...keys: string[]) => {
    for (const key of keys) await etcd.put(key, `value of ${key}`)
  }

  test('one key is found by its name alone', async () => {
    await fill('a', 'ab')
    const { kvs, count, more } = await etcd.range({ key: etcd.key('a'), range_end: undefined })
    expect(kvs.map(({ value }: { value: Buffer }) => value.toString())).toEqual(['value of a'])
    expect({ count, more }).toEqual({ count: '1', more: false })
  })

  test('a key that is not there is no error', async () => {
    const { kvs, count, header } = await etcd.range({ key: etcd.key('none'), range_end: undefined })
    expect({ kvs, count }).toEqual({ kvs: [], count: '0' })
    expect(Number(header.revision)).toBe(await etcd.revision())
  })

  test('a range holds its start and not its end, in order of the keys', async () => {
    await fill('c', 'a', 'b', 'd')
    expect(keysOf(await etcd.range({ key: etcd.key('b'), range_end: etcd.key('d') }))).toEqual(['b', 'c'])
  })

  test('a range that ends before it starts, or where it starts, is empty', async () => {
    await fill('a', 'b')
    expect(keysOf(await etcd.range({ key: etcd.key('b'), range_end: etcd.key('a') }))).toEqual([])
    expect(keysOf(await etcd.range({ key: etcd.key('b'), range_end: etcd.key('b') }))).toEqual([])
  })

  test('an end of one zero byte means all keys from the start on', async () => {
    await fill('a', 'b', 'c')
    expect(keysOf(await etcd.range({ key: etcd.key('b'), range_end: '\0' }))).toEqual(['b', 'c'])
  })

  test(`an end that is sent but empty ${since('3.7') ? 'is none' : 'means all keys from the start on, too'}`, async () => {
    await fill('a', 'b', 'c')
    expect(keysOf(await etcd.range({ key: etcd.key('b'), range_end: '' }))).toEqual(
      since('3.7') ? ['b'] : ['b', 'c'],
    )
  })

  test(`a sort order that is none is ${since('3.6') ? 'refused' : 'no order'}`, async () => {
    await fill('b', 'a')
    const read = etcd.range({ sort_order: 99 })
    if (since('3.6')) await expect(read).rejects.toMatchObject(refusal(3, 'invalid sort option'))
    else expect(keysOf(await read)).toEqual(['a', 'b'])
  })

  // older ones end at once
  test.runIf(since('3.6'))('a sort target that is none is refused, also within a transaction', async () => {
    const request = { key: etcd.key('a'), sort_target: 99, sort_order: 1 }
    const refused = refusal(3, 'invalid sort option')
    await expect(etcd.call('Range', request)).rejects.toMatchObject(refused)
    await expect(etcd.call('Txn', { success: [{ request_range: request }] })).rejects.toMatchObject(refused)
    await expect(etcd.call('Range', { ...request, key: '' })).rejects.toMatchObject(
      refusal(3, 'key is not provided'),
    )
  })

  test('zero bytes for start and end mean all keys', async () => {
    await fill('a')
    const { count } = await etcd.range({ key: '\0', range_end: '\0', count_only: true })
    expect(Number(count)).toBeGreaterThan(7)
  })

  test('keys are ordered by their bytes, not as text', async () => {
    const keys = [[0xff], [0x80], [0x7f], [0xc3, 0xa9], [0x00], [0x61]]
    for (const key of keys) {
      await etcd.call('Put', { key: Buffer.concat([Buffer.from(etcd.key('')), Buffer.from(key)]), value: '' })
    }
    const { kvs } = await etcd.range()
    expect(kvs.map(({ key }: { key: Buffer }) => [...key.subarray(5)])).toEqual([
      ...[[0x00], [0x61], [0x7f], [0x80], [0xc3, 0xa9], [0xff]],
    ])
  })

  test('a limit cuts the list, says that there is more, and still counts all', async () => {
    await fill('a', 'b', 'c')
    const cut = await etcd.range({ limit: 2 })
    expect([keysOf(cut), cut.more, cut.count]).toEqual([['a', 'b'], true, '3'])
    const whole = await etcd.range({ limit: 3 })
    expect([keysOf(whole), whole.more, whole.count]).toEqual([['a', 'b', 'c'], false, '3'])
  })

  test('count_only gives no keys', async () => {
    await fill('a', 'b', 'c')
    expect(await etcd.range({ count_only: true })).toMatchObject({ kvs: [], count: '3', more: false })
  })

  test('count_only ignores a limit', async () => {
    await fill('a', 'b', 'c')
    expect(await etcd.range({ count_only: true, limit: 1 })).toMatchObject({ count: '3', more: false })
  })

  test('keys_only gives all but the values', async () => {
    await fill('a')
    const { kvs } = await etcd.range({ keys_only: true })
    expect(kvs[0]).toMatchObject({ key: Buffer.from(etcd.key('a')), value: Buffer.alloc(0), version: '1' })
    expect(Number(kvs[0].mod_revision)).toBe(await etcd.revision())
  })

  test(`keys_only gives ${since('3.7') ? 'no leases, unless it sorts by value' : 'leases'}`, async () => {
    const { ID } = await etcd.call('LeaseGrant', { TTL: 60 })
    await etcd.put('a', 'x', { lease: ID })
    const leaseOf = async (more: object) => (await etcd.range({ keys_only: true, ...more })).kvs[0].lease
    expect(await leaseOf({})).toBe(since('3.7') ? '0' : ID)
    expect(await leaseOf({ sort_target: 'Value' })).toBe(ID)
    await etcd.call('LeaseRevoke', { ID })
  })

  test('a past revision shows the keys as they were, under the current header', async () => {
    await fill('a')
    const before = await etcd.revision()
    await etcd.put('a', 'new')
    await etcd.call('DeleteRange', { key: etcd.key('a') })
    await fill('b')
    const { kvs, header } = await etcd.range({ revision: before })
    expect(kvs.map(({ value }: { value: Buffer }) => String(value))).toEqual(['value of a'])
    expect(Number(header.revision)).toBe(before + 3)
    expect(keysOf(await etcd.range({ revision: before + 2 }))).toEqual([])
  })

  test('a revision of zero or less is the current one', async () => {
    await fill('a')
    for (const revision of [0, -1, -100]) expect(keysOf(await etcd.range({ revision }))).toEqual(['a'])
  })

  test('a revision still to come is refused', async () => {
    const refused = refusal(11, 'mvcc: required revision is a future revision')
    await expect(etcd.range({ revision: (await etcd.revision()) + 1 })).rejects.toMatchObject(refused)
    await expect(etcd.range({ revision: '9223372036854775807' })).rejects.toMatchObject(refused)
  })

  test('an empty key is refused', async () => {
    await expect(etcd.call('Range', {})).rejects.toMatchObject(refusal(3, 'key is not provided'))
  })

  test.each([
    ['Key', ['a', 'b', 'c']],
    ['Version', ['b', 'c', 'a']],
    ['Create', ['c', 'a', 'b']],
    ['Mod', ['c', 'b', 'a']],
    ['Value', ['b', 'a', 'c']],
  ])('sorted by %s, both ways', async (sort_target, ascending) => {
    const values: [string, string][] = [
      ...([
        ['c', '0'],
        ['a', '2'],
        ['b', '1'],
        ['c', '3'],
        ['a', '0'],
        ['b', '1'],
        ['a', '2'],
      ] as [string, string][]),
    ]
    // versions: a 3, b 2, c 2; the last puts: c 4th, b 6th, a 7th
    for (const [key, value] of values) await etcd.put(key, value)
    expect(keysOf(await etcd.range({ sort_target, sort_order: 'Ascend' }))).toEqual(ascending)
    const descending = sort_target === 'Version' ? ['a', 'b', 'c'] : ascending.toReversed()
    expect(keysOf(await etcd.range({ sort_target, sort_order: 'Descend' }))).toEqual(descending)
  })

  test('a sort target without an order sorts upwards', async () => {
    for (const [key, value] of [
      ['a', '3'],
      ['b', '1'],
      ['c', '2'],
    ] as const)
      await etcd.put(key, value)
    expect(keysOf(await etcd.range({ sort_target: 'Value' }))).toEqual(['b', 'c', 'a'])
  })

  test('a limit applies after sorting', async () => {
    for (const [key, value] of [
      ['a', '3'],
      ['b', '1'],
      ['c', '2'],
    ] as const)
      await etcd.put(key, value)
    const answer = await etcd.range({ sort_target: 'Value', sort_order: 'Ascend', limit: 2 })
    expect([keysOf(answer), answer.more, answer.count]).toEqual([['b', 'c'], true, '3'])
  })

  test('a limit with a sort target alone applies before sorting', async () => {
    for (const [key, value] of [
      ['a', '3'],
      ['b', '2'],
      ['c', '1'],
      ['d', '0'],
    ] as const)
      await etcd.put(key, value)
    const answer = await etcd.range({ sort_target: 'Value', limit: 2 })
    expect([keysOf(answer), answer.more, answer.count]).toEqual([['c', 'b'], true, '4'])
  })

  test('bounds on the revisions filter the keys, not the count', async () => {
    await fill('a', 'b', 'c', 'd')
    const first = (await etcd.revision()) - 3
    await etcd.put('a', 'again')
    const bounded = async (more: object) => {
      const answer = await etcd.range(more)
      expect(answer.count).toBe('4')
      return keysOf(answer)
    }
    expect(await bounded({ min_mod_revision: first + 2 })).toEqual(['a', 'c', 'd'])
    expect(await bounded({ max_mod_revision: first + 2 })).toEqual(['b', 'c'])
    expect(await bounded({ min_create_revision: first + 1 })).toEqual(['b', 'c', 'd'])
    expect(await bounded({ max_create_revision: first + 1 })).toEqual(['a', 'b'])
    expect(await bounded({ min_mod_revision: first + 1, max_create_revision: first, limit: 1 })).toEqual([
      'a',
    ])
  })

  test('a limit applies after bounds on the revisions', async () => {
    await fill('a', 'b', 'c', 'd')
    const first = (await etcd.revision()) - 3
    const answer = await etcd.range({ min_mod_revision: first + 1, limit: 2 })
    expect([keysOf(answer), answer.more, answer.count]).toEqual([['b', 'c'], true, '4'])
  })

  test('a prefix does not reach beyond itself', async () => {
    await fill('web/1', 'web2/1')
    const range = { key: etcd.key('web/'), range_end: endOf(etcd.key('web/')) }
    expect(keysOf(await etcd.range(range))).toEqual(['web/1'])
  })

  test('a serializable read is answered like any other', async () => {
    await fill('a')
    expect(keysOf(await etcd.range({ serializable: true }))).toEqual(['a'])
  })

  test('every answer names the cluster, the member and the term', async () => {
    const [one, other] = [await etcd.range(), await etcd.range()]
    const { cluster_id, member_id, raft_term } = one.header
    expect(other.header).toMatchObject({ cluster_id, member_id, raft_term })
    for (const id of [cluster_id, member_id, raft_term]) expect(BigInt(id)).toBeGreaterThan(0n)
  })
})
