import { type InstanceFormat, jsonFormat } from '@etcd-register/core'
import { expect, test } from 'vitest'
import { valueFor } from '../support/raw-writer.ts'
import { openRegistry, openWriter, startEtcd } from '../support/read-side.ts'

test('other work has its turn while a long list is read', async t => {
  const etcd = await startEtcd(t)
  const ids = Array.from({ length: 6000 }, (_, i) => `n${i}`)
  await openWriter(t, etcd.endpoint).fill(
    ids.map(id => ({ put: `/services/web/${id}`, value: valueFor('web', id) })),
  )
  let read = 0
  let mostAtATime = 0
  const json = jsonFormat()
  const format: InstanceFormat = {
    ...json,
    decode(entry, context) {
      read += 1
      mostAtATime = Math.max(mostAtATime, read)
      return json.decode(entry, context)
    },
  }
  let reading = true
  const turn = () => {
    read = 0
    if (reading) setImmediate(turn)
  }
  turn()
  const discovery = openRegistry(t, etcd.endpoint, { format }).discover('web')
  await discovery.ready()
  reading = false
  expect(discovery.instances).toHaveLength(ids.length)
  expect(mostAtATime).toBeGreaterThan(0)
  expect(mostAtATime).toBeLessThanOrEqual(1000)
})
