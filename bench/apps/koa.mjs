import Koa from 'koa'

export async function listen(adapted) {
  const app = new Koa()
  if (adapted) {
    const { etcdRegister } = await import('@etcd-register/koa')
    app.use(etcdRegister({ name: 'bench' }))
  }
  app.use(context => {
    context.body = 'hello'
  })
  return new Promise(resolve => {
    const server = app.listen(0, '127.0.0.1', () => resolve(server))
  })
}
