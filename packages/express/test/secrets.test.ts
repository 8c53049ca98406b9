import type { Server } from 'node:http'
import { etcdRegister } from '@etcd-register/express'
import { runSecretsContract } from 'adapter-contract'
import express from 'express'

runSecretsContract(etcdRegister, middleware => {
  const app = express().use(middleware)
  return { app, server: app.listen(0, '127.0.0.1') as Server }
})
