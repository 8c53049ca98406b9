import { etcdRegister } from '@etcd-register/express'
import express from 'express'

const { ORDERS_ID: id = 'orders', ORDERS_NAMESPACE: namespace = '/services', ORDERS_TTL = '5' } = process.env

const app = express()
app.use(
  etcdRegister({ name: 'orders', id, namespace, ttl: +ORDERS_TTL, metadata: { pid: String(process.pid) } }),
)
app.get('/orders/:number', (request, response) => {
  response.json({ order: request.params.number, servedBy: id })
})
app.listen(0, '127.0.0.1')

// An instance does not outlive the demo, also when that is killed.
process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'))
