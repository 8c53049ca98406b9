import 'reflect-metadata'
import { EtcdModule, type EtcdModuleOptions, type Registry } from '@etcd-register/nestjs'
import { Module } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { expect, onTestFinished, test } from 'vitest'
import { useEtcd } from './support/etcd.ts'

const etcd = useEtcd()

/** Starts an app that logs through Nest; gives the lines of ours. */
async function linesOf(options: EtcdModuleOptions) {
  const lines: string[] = []
  const keep = (message: string, ...more: unknown[]) => {
    if (more.includes('EtcdModule')) lines.push(message)
  }
  @Module({ imports: [EtcdModule.forRoot({ drainDelay: 0, signals: false, ...options })] })
  class AppModule {}
  const logger = { log: keep, error: keep, warn: keep, debug: keep, verbose: keep }
  const app = await NestFactory.create(AppModule, { logger, abortOnError: false })
  onTestFinished(() => app.close())
  await app.listen(0, '127.0.0.1')
  return { lines, registry: app.get<Registry>('ETCD_REGISTER:REGISTRY') }
}

/** Sentences, and parts of them, that a line or several have more than once. */
function repeated(lines: readonly string[]): string[] {
  const parts = lines.flatMap(line => line.split(/(?<=[.;?]) |: /)).filter(part => part.length > 20)
  return parts.filter((part, i) => parts.indexOf(part) !== i)
}

test.each<[string, EtcdModuleOptions]>([
  ['etcd is away', { hosts: '127.0.0.1:1' }],
  ['the function "auth" fails', { auth: () => Promise.reject(new Error('no vault')) }],
])('where %s the log of Nest has each sentence once', async (how, options) => {
  const name = how.replace(/\W+/g, '-')
  const { lines } = await linesOf({ hosts: etcd.member().endpoint, name, ...options })
  await expect.poll(() => lines.length).toBeGreaterThan(0)
  expect(repeated(lines)).toEqual([])
})

test('the log of Nest has the cause where the message does not', async () => {
  const { lines, registry } = await linesOf({ hosts: etcd.member().endpoint, name: 'causes' })
  const discovery = registry.discover('causes')
  discovery.on('change', () => {
    throw new Error('the listener of the app failed')
  })
  await expect.poll(() => lines).toContain('a listener of "change" threw: the listener of the app failed')
})
