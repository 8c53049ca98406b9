import 'reflect-metadata'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { EtcdModule } from '@etcd-register/nestjs'
import { Injectable, Module, type OnModuleDestroy } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { keysOf } from 'adapter-contract'
import { expect, onTestFinished, test } from 'vitest'
import { useEtcd } from './support/etcd.ts'

const etcd = useEtcd()

test('app.close() does not wait for web sockets, which only end when their module is destroyed', async () => {
  const options = { ...etcd.options('gateway'), shutdownTimeout: 60_000 }
  const upgraded: Socket[] = []

  @Injectable()
  class Gateway implements OnModuleDestroy {
    onModuleDestroy() {
      for (const socket of upgraded) socket.destroy()
    }
  }
  @Module({ imports: [EtcdModule.forRoot(options)], providers: [Gateway] })
  class AppModule {}
  const app = await NestFactory.create(AppModule, { logger: false, abortOnError: false })
  onTestFinished(() => app.close())
  app.getHttpServer().on('upgrade', (_: unknown, socket: Socket) => {
    upgraded.push(socket)
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
  })
  await app.listen(0, '127.0.0.1')

  const client = connect(app.getHttpServer().address().port, '127.0.0.1')
  onTestFinished(() => void client.destroy())
  client.write('GET / HTTP/1.1\r\nHost: gateway\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
  await once(client, 'data')
  const ended = once(client, 'close')
  await Promise.all([app.close(), ended])
  expect(upgraded).toHaveLength(1)
  expect(await keysOf(etcd.member(), options.name)).toEqual([])
})
