import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import { Emitter } from '../src/etcd/support/emitter.ts'
import { forbidUnhandled } from './support/unhandled.ts'

forbidUnhandled()

class Bell extends Emitter<{ ring: [times: number] }> {
  ring(times: number): void {
    this.emitSafely('ring', times)
  }
}

function bell() {
  const errors: { fields: object; message: string }[] = []
  const ignore = () => {}
  const error = (fields: object, message: string) => errors.push({ fields, message })
  return { bell: new Bell({ debug: ignore, info: ignore, warn: ignore, error }), errors }
}

test('a listener that throws harms neither the others nor us, and is logged', () => {
  const { bell: it, errors } = bell()
  const heard: number[] = []
  const err = new Error('deaf')
  it.on('ring', () => {
    throw err
  })
  it.on('ring', times => heard.push(times))
  it.ring(1)
  it.ring(2)
  expect(heard).toEqual([1, 2])
  expect(errors).toEqual(
    [1, 2].map(() => ({ fields: { err, event: 'ring' }, message: 'a listener of "ring" threw' })),
  )
})

test('so is one that rejects', async () => {
  const { bell: it, errors } = bell()
  it.on('ring', async () => Promise.reject(new Error('later')))
  it.ring(1)
  await expect.poll(() => errors).toHaveLength(1)
})

test('a listener for once hears once, one that leaves in the middle does not disturb the others', () => {
  const { bell: it } = bell()
  const heard: string[] = []
  const leaving = () => {
    heard.push('leaving')
    it.off('ring', leaving)
  }
  it.once('ring', () => heard.push('once'))
  it.on('ring', leaving)
  it.on('ring', function (this: unknown) {
    heard.push(this === it ? 'this' : 'lost')
  })
  it.ring(1)
  it.ring(2)
  expect(heard).toEqual(['once', 'leaving', 'this', 'this'])
})

test('one that gives a promise of another kind, which rejects, is logged too', async () => {
  const { bell: it, errors } = bell()
  const err = new Error('later')
  it.on('ring', () => runInNewContext('Promise').reject(err))
  // biome-ignore lint/suspicious/noThenProperty: as promises of libraries are
  it.on('ring', () => ({ then: (_: unknown, reject: (err: unknown) => void) => reject(err) }))
  it.ring(1)
  await expect.poll(() => errors).toHaveLength(2)
})

test('as many listen as want to, without a warning', async () => {
  const warnings: Error[] = []
  const note = (warning: Error) => warnings.push(warning)
  process.on('warning', note)
  const { bell: it } = bell()
  for (let i = 0; i < 100; i += 1) it.on('ring', () => {})
  await new Promise(resolve => setImmediate(resolve))
  process.off('warning', note)
  expect(warnings).toEqual([])
})
