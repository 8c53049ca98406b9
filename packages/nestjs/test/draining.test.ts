import 'reflect-metadata'
import { EtcdModule } from '@etcd-register/nestjs'
import { createCertificateAuthority } from '@etcd-register/testing'
import { Controller, Get, Module } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { FastifyAdapter } from '@nestjs/platform-fastify'
import { keysOf, watchService } from 'adapter-contract'
import { expect, onTestFinished, test } from 'vitest'
import { useEtcd } from './support/etcd.ts'
import { major } from './support/installed.ts'

const etcd = useEtcd()

@Controller()
class AppController {
  @Get()
  ok() {
    return 'ok'
  }
}

/** It takes longer than anybody needs to see that it is deregistered. */
const drainDelay = 5000

async function start(name: string, platform: string, more: object = {}) {
  @Module({
    imports: [EtcdModule.forRoot({ ...etcd.options(name), drainDelay })],
    controllers: [AppController],
  })
  class AppModule {}
  const options = { logger: false, abortOnError: false, ...more } as const
  const app = await (platform === 'fastify'
    ? NestFactory.create(AppModule, new FastifyAdapter(), options)
    : NestFactory.create(AppModule, options))
  onTestFinished(() => app.close())
  const view = await watchService(etcd.member(), name)
  await app.listen(0, '127.0.0.1')
  await view.toHavePorts(app.getHttpServer().address().port)
  return { app, view, url: `http://127.0.0.1:${app.getHttpServer().address().port}/` }
}

// Nest 12 has the option; to the others it means nothing.
test.each(['express', 'fastify'])(
  `nest ${major} on %s: deregistered it still answers, also with return503OnClosing`,
  async platform => {
    const { app, view, url } = await start(`draining-${platform}`, platform, { return503OnClosing: true })
    const closed = app.close()
    await view.toHavePorts()
    const answer = await fetch(url)
    expect(await answer.text()).toBe('ok')
    expect(answer.headers.get('connection')).toBe('close')
    await closed
  },
)

test('an app of https is registered as https', async () => {
  const httpsOptions = await (await createCertificateAuthority()).issue()
  const { app, view } = await start('secure', 'express', { httpsOptions })
  expect(view.instances[0]!.endpoints[0]).toMatch(/^https:\/\/127\.0\.0\.1:/)
  await app.close()
  expect(await keysOf(etcd.member(), 'secure')).toEqual([])
})
