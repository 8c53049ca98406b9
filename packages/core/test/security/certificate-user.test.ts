import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startEtcdBinary } from '@etcd-register/testing'
import { expect, test } from 'vitest'
import { until } from '../support/until.ts'
import { aLink, orders } from '../support/write-side.ts'
import { impatientRegistry } from './impatient-registry.ts'

test('a refusal names the user of the client certificate, which is its CN', async t => {
  const etcd = await startEtcdBinary({
    tls: { clientCerts: true },
    auth: { rootPassword: 'pa55word-of-root' },
  })
  t.onTestFinished(() => etcd.stop())
  const { ca, cert, key } = etcd.tls!
  const { registry, warnings } = impatientRegistry({ hosts: etcd.endpoint, tls: { ca, cert, key } })
  t.onTestFinished(() => registry.close())
  const registration = registry.register(orders())
  const error = await registration.ready().catch((error: Error) => error)
  const text = expect.stringContaining('It was asked by user "client", the CN of the client certificate')
  expect(error).toMatchObject({ code: 'ERR_ETCD_PERMISSION', message: text })
  expect(warnings).toEqual([text])
})

test('a refusal names the user of the certificate that is in use now, not of the one at the start', async t => {
  const role = { prefix: '/services/', permission: 'readwrite' } as const
  const etcd = await startEtcdBinary({
    tls: { clientCerts: true },
    auth: { rootPassword: 'pa55word-of-root', users: [{ name: 'client', password: 'pw', role }] },
  })
  t.onTestFinished(() => etcd.stop())
  const link = await aLink(t, etcd)
  const folder = mkdtempSync(join(tmpdir(), 'users-'))
  t.onTestFinished(() => rmSync(folder, { recursive: true }))
  const path = (part: string) => join(folder, `${part}.pem`)
  const write = ({ cert, key }: { cert: string; key: string }) => {
    writeFileSync(path('cert'), cert)
    writeFileSync(path('key'), key)
  }
  write(etcd.tls!)
  const tls = { ca: etcd.tls!.ca, cert: path('cert'), key: path('key') }
  const { registry, warnings } = impatientRegistry({ hosts: link.endpoint, tls })
  t.onTestFinished(() => registry.close())
  await registry.register(orders()).ready()
  write(await etcd.authority!.issue({ commonName: 'stranger' }))
  await link.drop()
  const refused = registry.register(orders({ port: 8001 }))
  await until(() => warnings.some(line => line.includes('It was asked by user "stranger"')))
  await refused.deregister()
})
