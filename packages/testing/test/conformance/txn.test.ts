import { expect } from 'vitest'
import type { Answer } from '../support/etcd-client.ts'
import { conform, endOf, keysOf, refusal, since } from './conform.ts'

conform('Txn', (test, etcd) => {
  const txn = (request: object) => etcd.call('Txn', request)
  const put = (key: string, value = '', more: object = {}) => ({
    request_put: { key: etcd.key(key), value, ...more },
  })
  const del = (key: string, end?: string) => ({
    request_delete_range: { key: etcd.key(key), ...(end !== undefined && { range_end: etcd.key(end) }) },
  })
  const get = (key: string, more: object = {}) => ({ request_range: { key: etcd.key(key), ...more } })
  const holds = async (...compare: object[]) =>
    (await txn({ compare: compare.map(item => ({ key: etcd.key('a'), ...item })) })).succeeded
  const duplicate = refusal(3, 'duplicate key given in txn request')

  test('an empty transaction succeeds and makes no revision', async () => {
    const before = await etcd.revision()
    const { succeeded, responses, header } = await txn({})
    expect({ succeeded, responses, revision: Number(header.revision) }).toEqual({
      ...{ succeeded: true, responses: [], revision: before },
    })
  })

  test('several puts make one revision', async () => {
    const before = await etcd.revision()
    const { header, responses } = await txn({ success: [put('b'), put('a')] })
    expect(Number(header.revision)).toBe(before + 1)
    expect(responses.map((answer: Answer) => Object.keys(answer))).toEqual([
      ['response_put'],
      ['response_put'],
    ])
    const { kvs } = await etcd.range()
    expect(kvs.map((kv: Answer) => Number(kv.mod_revision))).toEqual([before + 1, before + 1])
  })

  test('where a comparison fails, the other operations are carried out', async () => {
    const compare = [{ key: etcd.key('a'), target: 'Version', result: 'Greater', version: 0 }]
    const { succeeded } = await txn({ compare, success: [put('then')], failure: [put('else')] })
    expect(succeeded).toBe(false)
    expect(keysOf(await etcd.range())).toEqual(['else'])
  })

  test.each([
    ['Version', 'version', 2, 3],
    ['Value', 'value', 'm', 'n'],
    ['Lease', 'lease', 0, 1],
  ])('%s is compared in all four ways', async (target, field, same, greater) => {
    await etcd.put('a', 'l')
    await etcd.put('a', 'm')
    const results = ['Equal', 'NotEqual', 'Greater', 'Less']
    const against = async (value: unknown) =>
      Promise.all(results.map(result => holds({ target, result, [field]: value })))
    expect(await against(same)).toEqual([true, false, false, false])
    expect(await against(greater)).toEqual([false, true, false, true])
  })

  test.each([
    ['Create', 'create_revision', -1],
    ['Mod', 'mod_revision', 0],
  ])('%s revisions are compared in all four ways', async (target, field, offset) => {
    await etcd.put('a')
    await etcd.put('a')
    const revision = (await etcd.revision()) + offset
    const results = ['Equal', 'NotEqual', 'Greater', 'Less']
    const against = async (value: number) =>
      Promise.all(results.map(result => holds({ target, result, [field]: value })))
    expect(await against(revision)).toEqual([true, false, false, false])
    expect(await against(revision + 1)).toEqual([false, true, false, true])
    expect(await against(revision - 1)).toEqual([false, true, true, false])
  })

  test('a key that is not there has version, revisions and lease 0', async () => {
    for (const [target, field] of [
      ['Version', 'version'],
      ['Create', 'create_revision'],
      ['Mod', 'mod_revision'],
      ['Lease', 'lease'],
    ] as const) {
      expect(await holds({ target, result: 'Equal', [field]: 0 })).toBe(true)
      expect(await holds({ target, result: 'Equal' })).toBe(true)
      expect(await holds({ target, result: 'Greater', [field]: 0 })).toBe(false)
    }
  })

  test('a key that is not there has no value, to no comparison', async () => {
    for (const result of ['Equal', 'NotEqual', 'Greater', 'Less']) {
      expect(await holds({ target: 'Value', result, value: '' })).toBe(false)
    }
  })

  test('a comparison with a revision of 64 bits is exact', async () => {
    await etcd.put('a')
    const most = '9223372036854775807'
    expect(await holds({ target: 'Mod', result: 'Less', mod_revision: most })).toBe(true)
    expect(await holds({ target: 'Mod', result: 'Greater', mod_revision: `-${most}` })).toBe(true)
  })

  test('a lease of 64 bits is compared exactly', async () => {
    const ID = '9223372036854775806'
    await etcd.call('LeaseGrant', { ID, TTL: 60 })
    await etcd.put('a', '', { lease: ID })
    expect(await holds({ target: 'Lease', result: 'Equal', lease: ID })).toBe(true)
    expect(await holds({ target: 'Lease', result: 'Equal', lease: '9223372036854775807' })).toBe(false)
    await etcd.call('LeaseRevoke', { ID })
  })

  test('a comparison over a range has to hold for every key in it', async () => {
    for (const key of ['a', 'b', 'b']) await etcd.put(key)
    const all = { key: etcd.key(''), range_end: endOf(etcd.key('')), target: 'Version' }
    expect(await holds({ ...all, result: 'Greater', version: 0 })).toBe(true)
    expect(await holds({ ...all, result: 'Equal', version: 1 })).toBe(false)
  })

  test('a comparison over an empty range sees one key that is not there', async () => {
    const none = { range_end: etcd.key('b'), target: 'Version' }
    expect(await holds({ ...none, result: 'Equal', version: 0 })).toBe(true)
    expect(await holds({ ...none, result: 'Greater', version: 0 })).toBe(false)
  })

  test('all comparisons have to hold', async () => {
    await etcd.put('a', 'x')
    const yes = { target: 'Value', result: 'Equal', value: 'x' }
    expect(await holds(yes, yes)).toBe(true)
    expect(await holds(yes, { ...yes, value: 'y' })).toBe(false)
  })

  test('operations see what those before them wrote', async () => {
    const { responses } = await txn({
      success: [get('a'), put('a', '1'), get('a'), del('b'), get('a', { range_end: etcd.key('z') })],
    })
    const counts = responses.map((answer: Answer) => answer.response_range?.count)
    expect(counts).toEqual(['0', undefined, '1', undefined, '1'])
  })

  test('each answer within says at which revision it was', async () => {
    const before = await etcd.revision()
    const { responses } = await txn({ success: [get('a'), put('a'), get('a'), del('b'), del('c')] })
    const revisions = responses.map((answer: Answer) => (Object.values(answer)[0] as Answer).header)
    expect(revisions.map((header: Answer) => Number(header.revision) - before)).toEqual([0, 1, 1, 1, 1])
    expect(revisions[0]).toMatchObject({ cluster_id: '0', member_id: '0', raft_term: '0' })
  })

  test('a delete within that deletes nothing says the revision before', async () => {
    const before = await etcd.revision()
    const { responses, header } = await txn({ success: [del('none')] })
    expect(Number(responses[0].response_delete_range.header.revision)).toBe(before)
    expect(Number(header.revision)).toBe(before)
  })

  test('prev_kv within shows what the transaction itself wrote', async () => {
    await etcd.put('a', '1')
    const { responses } = await txn({
      success: [
        del('a'),
        put('b', '2', { prev_kv: true }),
        { request_delete_range: { key: etcd.key('c'), prev_kv: true } },
      ],
    })
    expect(responses[0].response_delete_range).toMatchObject({ deleted: '1', prev_kvs: [] })
    expect(responses[1].response_put.prev_kv).toBeNull()
    expect(responses[2].response_delete_range.prev_kvs).toEqual([])
  })

  test('nested transactions choose by the state before all writes', async () => {
    const nested = {
      request_txn: {
        compare: [{ key: etcd.key('a'), target: 'Version', result: 'Greater', version: 0 }],
        success: [put('there')],
        failure: [put('not there')],
      },
    }
    const { succeeded, responses } = await txn({ success: [put('a'), nested] })
    expect(succeeded).toBe(true)
    expect(responses[1].response_txn).toMatchObject({ succeeded: false })
    expect(responses[1].response_txn.responses).toHaveLength(1)
    expect(keysOf(await etcd.range())).toEqual(['a', 'not there'])
  })

  test('everything that is nested is of one revision', async () => {
    const before = await etcd.revision()
    await txn({
      success: [put('a'), { request_txn: { success: [put('b'), { request_txn: { success: [put('c')] } }] } }],
    })
    const { kvs } = await etcd.range()
    expect(kvs.map((kv: Answer) => Number(kv.mod_revision))).toEqual(Array(3).fill(before + 1))
  })

  test('a key put twice is refused, nested or not, and nothing is written', async () => {
    const before = await etcd.revision()
    for (const success of [
      [put('a'), put('a')],
      [put('a'), del('a')],
      [del('a', 'c'), put('b')],
      [put('a'), { request_txn: { success: [put('a')] } }],
      [del('a'), { request_txn: { failure: [put('a')] } }],
      [{ request_txn: { success: [put('a')] } }, { request_txn: { failure: [put('a')] } }],
    ]) {
      await expect(txn({ success })).rejects.toMatchObject(duplicate)
      await expect(txn({ failure: success })).rejects.toMatchObject(duplicate)
    }
    expect(await etcd.revision()).toBe(before)
  })

  test('what cannot both happen may touch one key', async () => {
    await txn({ success: [put('a')], failure: [put('a')] })
    await txn({ success: [{ request_txn: { success: [put('a')], failure: [put('a')] } }] })
    await txn({ success: [del('a'), del('a', 'b')] })
    await txn({ success: [put('a'), get('a')] })
  })

  test('a delete of all that follows may go along with a put of one of them', async () => {
    await etcd.put('b')
    const follows = { request_delete_range: { key: etcd.key('a'), range_end: '\0' } }
    await txn({ success: [follows, put('b')] })
    expect((await etcd.range()).kvs[0].version).toBe('1')
  })

  test(`an end that is sent but empty ${since('3.7') ? 'is none' : 'means all that follow, unless the transaction writes'}`, async () => {
    await etcd.put('b')
    const empty = get('a', { range_end: '' })
    const counts = async (...success: object[]) =>
      (await txn({ success })).responses.map((answer: Answer) => answer.response_range?.count)
    expect(await counts(empty)).toEqual([since('3.7') ? '0' : '1'])
    expect(await counts(empty, put('c'))).toEqual(['0', undefined])
  })

  test('128 operations are taken, one more is refused', async () => {
    const puts = (count: number) => Array.from({ length: count }, (_, index) => put(String(index)))
    await txn({ success: puts(128), failure: puts(128) })
    const refused = refusal(3, 'too many operations in txn request')
    await expect(txn({ success: puts(129) })).rejects.toMatchObject(refused)
    await expect(txn({ failure: puts(129) })).rejects.toMatchObject(refused)
    const compare = Array(129).fill({ key: etcd.key('a'), target: 'Version', version: 0 })
    await expect(txn({ compare })).rejects.toMatchObject(refused)
  })

  test('operations of a nested transaction count too', async () => {
    const puts = (count: number, prefix: string) =>
      Array.from({ length: count }, (_, index) => put(prefix + index))
    const nested = (count: number) => ({ request_txn: { success: puts(count, 'n') } })
    await txn({ success: [...puts(63, 'a'), nested(64)] })
    const refused = refusal(3, 'too many operations in txn request')
    await expect(txn({ success: [...puts(64, 'a'), nested(64)] })).rejects.toMatchObject(refused)
  })

  test('an empty key in a comparison or an operation is refused', async () => {
    const refused = refusal(3, 'key is not provided')
    await expect(txn({ compare: [{ target: 'Version' }] })).rejects.toMatchObject(refused)
    await expect(txn({ success: [{ request_put: {} }] })).rejects.toMatchObject(refused)
    await expect(txn({ success: [{ request_range: {} }] })).rejects.toMatchObject(refused)
    await expect(txn({ failure: [{ request_delete_range: {} }] })).rejects.toMatchObject(refused)
  })

  test('an operation that is none is refused', async () => {
    await expect(txn({ success: [{}] })).rejects.toMatchObject(refusal(3, 'key not found'))
  })

  test('a put that would fail lets the whole transaction fail', async () => {
    const before = await etcd.revision()
    await expect(txn({ success: [put('a'), put('b', '', { lease: 99 })] })).rejects.toMatchObject(
      refusal(5, 'requested lease not found'),
    )
    await expect(txn({ success: [put('a'), put('b', '', { ignore_value: true })] })).rejects.toMatchObject(
      refusal(3, 'key not found'),
    )
    expect(await etcd.revision()).toBe(before)
  })

  test(`of several that would fail, ${since('3.6') ? 'the first is told' : 'puts are told before ranges'}`, async () => {
    const [range, unleased] = [get('a', { revision: 999_999 }), put('a', '', { lease: 99 })]
    const future = refusal(11, 'mvcc: required revision is a future revision')
    const missing = refusal(5, 'requested lease not found')
    await expect(txn({ success: [range, unleased] })).rejects.toMatchObject(since('3.6') ? future : missing)
    await expect(txn({ success: [unleased, range] })).rejects.toMatchObject(missing)
  })

  test(`of a lease and a key that are both missing, the ${since('3.7') ? 'lease' : 'key'} is told`, async () => {
    const both = put('none', '', { lease: 99, ignore_value: true })
    await expect(txn({ success: [both] })).rejects.toMatchObject(
      since('3.7') ? refusal(5, 'requested lease not found') : refusal(3, 'key not found'),
    )
  })

  test('what would fail in operations that are not carried out does not matter', async () => {
    const { succeeded } = await txn({ success: [put('a')], failure: [put('b', '', { lease: 99 })] })
    expect(succeeded).toBe(true)
  })

  test('a range at a revision still to come lets the whole transaction fail', async () => {
    const revision = (await etcd.revision()) + 1
    await expect(txn({ success: [put('a'), get('a', { revision })] })).rejects.toMatchObject(
      refusal(11, 'mvcc: required revision is a future revision'),
    )
    expect(await etcd.revision()).toBe(revision - 1)
  })

  test('a range within can be of a past revision', async () => {
    await etcd.put('a', '1')
    const revision = await etcd.revision()
    const { responses } = await txn({ success: [put('a', '2'), get('a', { revision })] })
    expect(String(responses[1].response_range.kvs[0].value)).toBe('1')
  })
})

conform('Compact', (test, etcd) => {
  const compact = (revision: number) => etcd.call('Compact', { revision, physical: true })
  const compacted = refusal(11, 'mvcc: required revision has been compacted')

  test('older revisions can no longer be read, the compacted one and later ones can', async () => {
    for (const value of ['1', '2', '3']) await etcd.put('a', value)
    const revision = await etcd.revision()
    const { header } = await compact(revision - 1)
    expect(Number(header.revision)).toBe(revision)
    await expect(etcd.range({ revision: revision - 2 })).rejects.toMatchObject(compacted)
    for (const [at, value] of [
      [revision - 1, '2'],
      [revision, '3'],
    ] as const) {
      expect(String((await etcd.range({ revision: at })).kvs[0].value)).toBe(value)
    }
    expect(await etcd.revision()).toBe(revision)
  })

  test('what did not change since is still there', async () => {
    await etcd.put('old')
    await etcd.put('gone')
    await etcd.call('DeleteRange', { key: etcd.key('gone') })
    for (let times = 0; times < 3; times++) await etcd.put('new')
    await compact(await etcd.revision())
    const { kvs } = await etcd.range()
    expect(kvs.map((kv: Answer) => [String(kv.key).slice(5), kv.version])).toEqual([
      ...[
        ['new', '3'],
        ['old', '1'],
      ],
    ])
  })

  test('a revision is compacted once', async () => {
    await etcd.put('a')
    await etcd.put('a')
    const revision = await etcd.revision()
    await compact(revision)
    await expect(compact(revision)).rejects.toMatchObject(compacted)
    await expect(compact(revision - 1)).rejects.toMatchObject(compacted)
    await expect(compact(0)).rejects.toMatchObject(compacted)
  })

  test('a revision still to come is refused', async () => {
    await expect(compact((await etcd.revision()) + 1)).rejects.toMatchObject(
      refusal(11, 'mvcc: required revision is a future revision'),
    )
  })

  test('a range within a transaction is refused, too', async () => {
    await etcd.put('a')
    await etcd.put('a')
    const revision = await etcd.revision()
    await compact(revision)
    const request_range = { key: etcd.key('a'), revision: revision - 1 }
    await expect(etcd.call('Txn', { success: [{ request_range }] })).rejects.toMatchObject(compacted)
  })

  test('a key that was deleted and compacted starts anew', async () => {
    await etcd.put('a')
    await etcd.call('DeleteRange', { key: etcd.key('a') })
    await compact(await etcd.revision())
    await etcd.put('a')
    expect((await etcd.range()).kvs[0]).toMatchObject({ version: '1' })
  })
})

conform('Compact of a fresh store', (test, etcd) => {
  const compact = (revision: number) => etcd.call('Compact', { revision, physical: true })
  const compacted = refusal(11, 'mvcc: required revision has been compacted')
  /** A transaction that writes, and then reads at a revision. */
  const writeAndRead = (revision: number) => {
    const request_put = { key: etcd.key('written'), value: '' }
    return etcd.call('Txn', {
      success: [{ request_put }, { request_range: { key: etcd.key('written'), revision } }],
    })
  }

  test('before any compaction, a transaction may read at -1, which is now, and no earlier', async () => {
    await expect(writeAndRead(-2)).rejects.toMatchObject(compacted)
    expect((await etcd.range()).count).toBe('0')
    const { responses } = await writeAndRead(-1)
    expect(responses[1].response_range.count).toBe('1')
    expect((await etcd.range({ revision: -5 })).count).toBe('1')
  })

  test('revision 0 can be compacted once, an earlier one never', async () => {
    await expect(compact(-1)).rejects.toMatchObject(compacted)
    expect((await compact(0)).header.revision).toBe(String(await etcd.revision()))
    await expect(compact(0)).rejects.toMatchObject(compacted)
  })

  test('after a compaction, a transaction that reads below 0 is refused and writes nothing', async () => {
    const revision = await etcd.revision()
    await compact(revision)
    for (const at of [-1, -2]) await expect(writeAndRead(at)).rejects.toMatchObject(compacted)
    expect(await etcd.range({ revision: -1 })).toMatchObject({
      ...{ count: '0', header: { revision: String(revision) } },
    })
  })
})
