import { expect, test } from 'vitest'
import { Slots } from '../src/etcd/support/slots.ts'

test('so many have a slot at a time, and the others get theirs in the order in which they came', async () => {
  const slots = new Slots(2)
  const order: string[] = []
  const take = async (name: string) => {
    const waited = await slots.take()
    order.push(`${name}${waited ? ' after a wait' : ''}`)
  }
  await Promise.all([take('first'), take('second')])
  const others = [take('third'), take('fourth')]
  await Promise.resolve()
  expect(order).toEqual(['first', 'second'])
  slots.release()
  slots.release()
  await Promise.all(others)
  expect(order).toEqual(['first', 'second', 'third after a wait', 'fourth after a wait'])
  slots.release()
  slots.release()
  await take('fifth')
  expect(order.at(-1)).toBe('fifth')
})
