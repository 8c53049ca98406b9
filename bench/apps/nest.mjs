import 'reflect-metadata'
import { Controller, Get, Module } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'

class AppController {
  hello() {
    return 'hello'
  }
}
Get()(AppController.prototype, 'hello', Object.getOwnPropertyDescriptor(AppController.prototype, 'hello'))
Controller()(AppController)

export async function listen(how) {
  const imports = []
  if (how === 'with') {
    const { EtcdModule } = await import('@etcd-register/nestjs')
    imports.push(EtcdModule.forRoot({ name: 'bench' }))
  }
  class AppModule {}
  Module({ imports, controllers: [AppController] })(AppModule)
  const app = await NestFactory.create(AppModule, { logger: false })
  await app.listen(0, '127.0.0.1')
  return app.getHttpServer()
}
