import { startEtcdBinary, startFaultProxy } from '@etcd-register/testing'
import { test } from 'vitest'
import { startDemo } from './demo-process.ts'

test.concurrent('an etcd that does not answer gives exit status 1 and says what to do, with --json on stdout too', async ({
  expect,
}) => {
  await using proxy = await startFaultProxy('http://127.0.0.1:9')
  await proxy.cut()
  await using demo = startDemo(['--once', '--json'], { ETCD_ENDPOINTS: proxy.endpoint })
  expect(await demo.ended).toBe(1)
  expect(demo.errors.join('\n')).toContain(`etcd at ${proxy.endpoint} does not answer`)
  expect(demo.errors.join('\n')).toContain('is ETCD_ENDPOINTS right?')
  expect(demo.lines.map(line => JSON.parse(line))).toEqual([{ ok: false, reason: demo.errors.join('\n') }])
})

test.concurrent('TLS and a login from the environment work, with the link of the consumer cut in between', async ({
  expect,
}) => {
  const role = { prefix: '/etcd-register-demo/', permission: 'readwrite' } as const
  const users = [{ name: 'demo', password: 'secret', role }]
  await using etcd = await startEtcdBinary({ tls: true, auth: { rootPassword: 'root', users } })
  await using demo = startDemo(['--once'], {
    ETCD_ENDPOINTS: etcd.endpoint,
    ETCD_CACERT: etcd.tls!.ca,
    ETCD_USERNAME: 'demo',
    ETCD_PASSWORD: 'secret',
  })
  expect(await demo.ended, demo.lines.join('\n')).toBe(0)
}, 120_000)

test.concurrent('a certificate that is not valid for the link says so', async ({ expect }) => {
  await using etcd = await startEtcdBinary({ tls: { server: { hosts: ['etcd.test'] } } })
  await using demo = startDemo(['--once'], { ETCD_ENDPOINTS: etcd.endpoint, ETCD_CACERT: etcd.tls!.ca })
  expect(await demo.ended).toBe(1)
  expect(demo.errors.join('\n')).toContain('has to be valid for 127.0.0.1')
})
