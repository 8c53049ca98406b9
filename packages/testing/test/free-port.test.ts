import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { startEtcd } from '@etcd-register/testing'
import { expect, test } from 'vitest'
import { freePort } from '../src/free-port.ts'

const first = 20_000
const last = 32_000

test('none is given twice, and none that an outgoing connection can have', async () => {
  const ports = await Promise.all(Array.from({ length: 40 }, freePort))
  expect(new Set(ports).size).toBe(40)
  for (const port of ports) expect(port).toSatisfy((port: number) => port >= first && port < last)
})

/** In another process, to which chance gives this one at first. */
async function startElsewhere(port: number): Promise<number> {
  const library = new URL('../dist/index.mjs', import.meta.url).href
  const script = `
    import { startEtcd } from '${library}'
    const { random } = Math
    let calls = 0
    Math.random = () => (calls++ < 20 ? ${(port - first + 0.5) / (last - first)} : random())
    const etcd = await startEtcd()
    console.log(etcd.port)
    await etcd.stop()`
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script])
  return Number(stdout)
}

test('nor one that another process has, also while nobody listens there', async () => {
  const port = await freePort()
  expect(await startElsewhere(port)).not.toBe(port)
  await using etcd = await startEtcd()
  await etcd.kill()
  const { port: down } = etcd
  expect(await startElsewhere(down)).not.toBe(down)
})

test('they do not run out in a process that has started thousands of them', async () => {
  for (let batch = 0; batch < 250; batch += 1) await Promise.all(Array.from({ length: 50 }, freePort))
})
