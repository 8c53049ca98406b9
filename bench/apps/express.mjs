import express from 'express'

export async function listen(how) {
  const app = express()
  if (how === 'empty') app.use((_request, _response, next) => next())
  if (how === 'with') {
    const { etcdRegister } = await import('@etcd-register/express')
    app.use(etcdRegister({ name: 'bench' }))
  }
  app.get('/', (_request, response) => void response.send('hello'))
  return new Promise(resolve => {
    const server = app.listen(0, '127.0.0.1', () => resolve(server))
  })
}
