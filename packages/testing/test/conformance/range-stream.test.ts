import { expect } from 'vitest'
import type { Answer } from '../support/etcd-client.ts'
import { conform, endOf, keysOf, refusal, since } from './conform.ts'

// older ones do not know it: see connection.test.ts
conform('RangeStream', (test, etcd) => {
  const of37 = test.runIf(since('3.7'))

  /** The chunks, and the status at the end. */
  async function stream(more: object = {}) {
    const range = { key: etcd.key(''), range_end: endOf(etcd.key('')), ...more }
    const messages = await etcd.feed('RangeStream', range).until(({ code }) => code !== undefined)
    const { code, details } = messages.pop()
    return { chunks: messages.map(({ range_response }) => range_response), code, details }
  }
  const fill = async (count: number, value = '') => {
    for (let at = 0; at < count; at += 100) {
      const success = Array.from({ length: Math.min(100, count - at) }, (_, index) => ({
        request_put: { key: etcd.key(String(at + index).padStart(5, '0')), value },
      }))
      await etcd.call('Txn', { success })
    }
  }
  const sizes = (chunks: Answer[]) => chunks.map(({ kvs }) => kvs.length)

  of37(
    'all keys come in order, in chunks of twice as many each; the last one has header and count',
    async () => {
      await fill(500, 'x'.repeat(200))
      const { chunks, code } = await stream()
      expect(code).toBe(0)
      expect(sizes(chunks)).toEqual([10, 20, 40, 80, 160, 190])
      expect(chunks.flatMap(keysOf)).toEqual(keysOf(await etcd.range()))
      for (const { header, more, count } of chunks.slice(0, -1)) {
        expect({ header, more, count }).toEqual({ header: null, more: false, count: '0' })
      }
      const { header } = await etcd.range()
      expect(chunks.at(-1)).toMatchObject({ header, more: false, count: '500' })
    },
  )

  of37('a limit ends it, and all are counted', async () => {
    await fill(100)
    const { chunks } = await stream({ limit: 35 })
    expect(sizes(chunks)).toEqual([10, 20, 5])
    expect(chunks.at(-1)).toMatchObject({ more: true, count: '100' })
    expect(sizes((await stream({ limit: 7 })).chunks)).toEqual([7])
    expect(sizes((await stream({ limit: -1 })).chunks)).toEqual([100])
    expect(sizes((await stream({ limit: 100 })).chunks)).toEqual([10, 20, 40, 30])
  })

  of37('large values come in chunks of fewer keys', async () => {
    for (let index = 0; index < 22; index++)
      await etcd.put(String.fromCharCode(97 + index), 'x'.repeat(1_000_000))
    expect(sizes((await stream()).chunks)).toEqual([10, 5, 2, 2, 2, 1])
  })

  of37('nothing at all is one empty chunk', async () => {
    const { chunks } = await stream()
    expect(chunks).toMatchObject([{ kvs: [], more: false, count: '0' }])
    expect(chunks[0].header.revision).toBe(String(await etcd.revision()))
  })

  of37('count_only and keys_only give no values, a revision gives former ones', async () => {
    await fill(20, 'x')
    const revision = await etcd.revision()
    await fill(20, 'y')
    const counted = await stream({ count_only: true })
    expect(counted.chunks).toMatchObject([
      { kvs: [], count: '20', header: { revision: String(revision + 1) } },
    ])
    const values = async (more: object) =>
      new Set((await stream(more)).chunks.flatMap(({ kvs }) => kvs.map(({ value }: Answer) => String(value))))
    expect(await values({ keys_only: true })).toEqual(new Set(['']))
    expect(await values({ revision })).toEqual(new Set(['x']))
    expect(await values({ serializable: true })).toEqual(new Set(['y']))
  })

  of37('what it cannot do is refused', async () => {
    const revision = (await etcd.revision()) + 1
    for (const more of [{ sort_order: 'Ascend' }, { sort_target: 'Value' }]) {
      expect((await stream(more)).code).toBe(0)
    }
    const unsupported = (what: string) => ({ code: 12, details: `RangeStream does not support ${what}` })
    for (const [more, refused] of [
      [{ sort_order: 'Descend' }, unsupported('custom sort orders')],
      [{ sort_order: 'Ascend', sort_target: 'Mod' }, unsupported('custom sort orders')],
      [{ min_mod_revision: 1 }, unsupported('revision filters')],
      [{ max_create_revision: 1 }, unsupported('revision filters')],
      [{ revision }, refusal(11, 'mvcc: required revision is a future revision')],
      [{ key: '' }, refusal(3, 'key is not provided')],
      [{ sort_order: 99 }, refusal(3, 'invalid sort option')],
    ] as const) {
      expect(await stream(more)).toMatchObject({ chunks: [], ...refused })
    }
    await etcd.put('a')
    await etcd.call('Compact', { revision, physical: true })
    expect(await stream({ revision: revision - 1 })).toMatchObject(
      refusal(11, 'mvcc: required revision has been compacted'),
    )
  })
})
