import { X509Certificate } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer } from 'node:tls'
import type { RegistryOptions } from '@etcd-register/core'
import { createCertificateAuthority, type EtcdMember, startEtcdBinary } from '@etcd-register/testing'
import { afterAll, describe, expect, test } from 'vitest'
import { leaseOf } from '../support/lease-of.ts'
import { forbidUnhandled } from '../support/unhandled.ts'
import { until } from '../support/until.ts'
import { impatientRegistry } from './impatient-registry.ts'

forbidUnhandled()

const folder = mkdtempSync(join(tmpdir(), 'renewed-'))
const stops: (() => unknown)[] = []
const service = { port: 8000, host: '192.0.2.1' }

afterAll(async () => {
  await Promise.all(stops.map(stop => stop()))
  rmSync(folder, { recursive: true })
})

async function start(options: Parameters<typeof startEtcdBinary>[0]): Promise<EtcdMember> {
  const etcd = await startEtcdBinary(options)
  stops.push(() => etcd.stop())
  return etcd
}

/** Files in a folder of their own, written by the names of the options. */
function files(name: string) {
  const path = (part: string) => join(folder, `${name}-${part}.pem`)
  return {
    tls: { ca: path('ca'), cert: path('cert'), key: path('key') },
    write: (pems: Record<string, string>) => {
      for (const [part, pem] of Object.entries(pems)) writeFileSync(path(part), pem)
    },
  }
}

/** Registers and discovers; counts what must not happen. */
async function using(
  options: RegistryOptions,
  run: (
    watched: ReturnType<typeof impatientRegistry> & { renewed(): Promise<void>; fresh(): Promise<void> },
  ) => Promise<void>,
) {
  const watched = impatientRegistry({ ttl: 60, ...options })
  const { registry } = watched
  try {
    const registration = registry.register({ name: 'renewed', ...service })
    const discovery = registry.discover('renewed')
    await Promise.all([registration.ready(), discovery.ready()])
    let weight = 0
    await run({
      ...watched,
      renewed: async () => {
        weight += 1
        await until(() => registration.update({ weight }).then(() => true))
      },
      fresh: () => until(() => !discovery.stale && discovery.instances[0]?.weight === weight),
    })
    expect(leaseOf(registry).losses).toBe(0)
    expect(registration.state).toBe('registered')
  } finally {
    await registry.close()
  }
}

describe.concurrent('certificates in files are read again', () => {
  test('once a client certificate expired and etcd restarted, the renewed one keeps the registration', async () => {
    const etcd = await start({ tls: { clientCerts: true } })
    const short = await etcd.authority!.issue({ validFor: 8 })
    const { tls, write } = files('client')
    write({ ca: etcd.tls!.ca, ...short })
    await using({ hosts: etcd.endpoint, tls }, async ({ renewed, fresh, infos, registry }) => {
      write({ ...(await etcd.authority!.issue()) })
      await until(() => new Date(new X509Certificate(short.cert).validTo) < new Date())
      await etcd.restart()
      await until(() => registry.status().etcd.connection === 'up')
      await renewed()
      await fresh()
      expect(infos.filter(line => line.startsWith('read the renewed certificates in'))).toHaveLength(1)
    })
  })

  test('an authority that was replaced', async () => {
    const [before, after] = await Promise.all([createCertificateAuthority(), createCertificateAuthority()])
    const server = files('server')
    server.write({ ...(await before.issue()) })
    const { cert, key } = server.tls
    const etcd = await start({ tls: true, args: ['--cert-file', cert, '--key-file', key] })
    const client = files('authority')
    client.write({ ca: before.ca })
    const tls = { ca: client.tls.ca }
    await using({ hosts: etcd.endpoint, tls }, async ({ renewed, fresh }) => {
      server.write({ ...(await after.issue()) })
      client.write({ ca: after.ca })
      await etcd.restart()
      await renewed()
      await fresh()
    })
  })

  test('a key that is not yet that of its certificate: the last pair is used on, one warning says why, and one line that it is over', async () => {
    const etcd = await start({ tls: { clientCerts: true } })
    const { tls, write } = files('half')
    write({ ca: etcd.tls!.ca, ...(await etcd.authority!.issue()) })
    await using({ hosts: etcd.endpoint, tls }, async ({ renewed, fresh, warnings, infos }) => {
      const half = () => warnings.filter(line => line.startsWith('The files of "tls" cannot be used now'))
      const { cert, key } = await etcd.authority!.issue()
      write({ cert })
      await etcd.restart()
      await renewed()
      await fresh()
      expect(half()).toEqual([expect.stringMatching(/Option "tls\.key" must be the key of the certificate/)])
      write({ key: key.slice(0, 500) })
      await etcd.restart()
      await renewed()
      expect(half()).toHaveLength(2)
      expect(half()[1]).toContain(tls.key)
      write({ key })
      await etcd.restart()
      await renewed()
      await fresh()
      expect(half()).toHaveLength(2)
      expect(warnings.filter(line => line.startsWith('the files of "tls" can be used again'))).toHaveLength(1)
      expect(infos.filter(line => line.includes(tls.cert))).toHaveLength(1)
      expect(warnings.join()).not.toContain(key.slice(100, 140))
    })
  })
})

describe.concurrent('tls.serverName', () => {
  test.each(['127.0.0.1', 'localhost'])('is the name that a certificate has to have, for %s', async host => {
    const etcd = await start({ tls: { server: { hosts: ['elsewhere.test'] } } })
    const hosts = etcd.endpoint.replace('localhost', host)
    const tls = { ca: etcd.tls!.ca, serverName: 'elsewhere.test' }
    await using({ hosts, tls }, async ({ renewed, warnings }) => {
      await renewed()
      expect(warnings).toEqual([])
    })
  })

  test('that the certificate does not have is one error with the fix in it', async () => {
    const etcd = await start({ tls: true })
    const tls = { ca: etcd.tls!.ca, serverName: 'elsewhere.test' }
    const { registry } = impatientRegistry({ hosts: etcd.endpoint, tls })
    try {
      const error = await registry
        .discover('x')
        .ready()
        .catch(error => error)
      expect(error).toMatchObject({ code: 'ERR_ETCD_TLS' })
      expect(error.message).toMatch(/elsewhere\.test.*tls\.serverName/s)
    } finally {
      await registry.close()
    }
  })

  test('is sent as the name to route by', async () => {
    const names: unknown[] = []
    const { ca, issue } = await createCertificateAuthority()
    const server = createServer({
      ...(await issue()),
      SNICallback: (name, done) => {
        names.push(name)
        done(new Error('no such name'))
      },
    })
    server.on('tlsClientError', () => {})
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    stops.push(() => server.close())
    const { port } = server.address() as { port: number }
    const tls = { ca, serverName: 'etcd.example.org' }
    const { registry } = impatientRegistry({ hosts: `https://127.0.0.1:${port}`, tls })
    registry.discover('x')
    await until(() => names.length > 0)
    await registry.close()
    expect(names[0]).toBe('etcd.example.org')
  })

  test.each(['', 'a b', 'https://x', 7])('%j is refused', serverName => {
    expect(() => impatientRegistry({ tls: { serverName } as never })).toThrow(/tls\.serverName/)
  })
})
