import Koa from 'koa'

export async function listen(how) {
  const app = new Koa()
  if (how === 'empty') app.use((_context, next) => next())
  if (how === 'with') {
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
