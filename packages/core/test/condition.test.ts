import { getEventListeners } from 'node:events'
import { expect, test } from 'vitest'
import { Condition } from '../src/etcd/support/condition.ts'

test('whoever waits looks at once, and again when woken', async () => {
  const condition = new Condition()
  let looks = 0
  const waiting = condition.until(() => {
    looks += 1
    return looks === 3
  })
  expect(looks).toBe(1)
  condition.notify()
  condition.notify()
  await waiting
  condition.notify()
  expect(looks).toBe(3)
})

test('what the check throws is the rejection of that one only', async () => {
  const condition = new Condition()
  let over = false
  const failing = condition.until(() => {
    if (over) throw new Error('hopeless')
    return false
  })
  const other = condition.until(() => over)
  over = true
  condition.notify()
  await expect(failing).rejects.toThrow('hopeless')
  await other
})

const message = () => 'not yet'

test('an abort rejects with its reason as the cause, also before the wait began, and leaves no listener', async () => {
  const condition = new Condition()
  const controller = new AbortController()
  const { signal } = controller
  const waiting = condition.until(() => false, { signal, message })
  const cause = new Error('enough')
  controller.abort(cause)
  const aborted = { name: 'AbortError', code: 'ERR_ABORTED', message: 'not yet', cause }
  await expect(waiting).rejects.toMatchObject(aborted)
  await expect(condition.until(() => true, { signal, message })).rejects.toMatchObject(aborted)
  expect(getEventListeners(signal, 'abort')).toHaveLength(0)

  const other = new AbortController().signal
  await condition.until(() => true, { signal: other, message })
  expect(getEventListeners(other, 'abort')).toHaveLength(0)
})

test('many may wait with one signal, which is no leak of it', async () => {
  const controller = new AbortController()
  const condition = new Condition()
  const { signal } = controller
  const waiting = Array.from({ length: 30 }, () => condition.until(() => false, { signal, message }))
  expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0)
  controller.abort(new Error('enough'))
  const outcomes = await Promise.allSettled(waiting)
  expect(outcomes.map(({ status }) => status)).toEqual(Array(30).fill('rejected'))
})
