import type { Server } from 'node:http'
import { etcdRegister } from '@etcd-register/koa'
import { runSecretsContract } from 'adapter-contract'
import Koa from 'koa'

runSecretsContract(etcdRegister, middleware => {
  const app = new Koa().use(middleware)
  return { app, server: app.listen(0, '127.0.0.1') as Server }
})
