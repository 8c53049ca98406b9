import { once } from 'node:events'
import {
  type Agent,
  createServer,
  get,
  type IncomingMessage,
  type RequestListener,
  type Server,
} from 'node:http'
import type { AddressInfo, Server as NetServer } from 'node:net'
import { attachServer, type ServerOptions, type ServerRegistration } from '@etcd-register/core'
import type { EtcdMember } from '@etcd-register/testing'
import { onTestFinished } from 'vitest'
import { rows } from './etcdctl-table.ts'
import { aRegistry, type LoggedRegistry } from './write-side.ts'

export interface Namespace {
  namespace: string
  registry: LoggedRegistry
  keys(): Promise<string[]>
}

let count = 0

/** A registry with a namespace of its own, and the keys in it. */
export function aNamespace(etcd: EtcdMember): Namespace {
  count += 1
  const namespace = `/all-${count}`
  const registry = aRegistry({ onTestFinished }, etcd, { namespace, ttl: 60 })
  const keys = async () =>
    (await rows(etcd, `${namespace}/`)).map(({ key }) => key.slice(namespace.length + 1))
  return { namespace, registry, keys }
}

export function closedWithTest<T extends NetServer>(server: T): T {
  onTestFinished(async () => {
    if (!server.listening) return
    ;(server as unknown as Partial<Server>).closeAllConnections?.()
    server.close()
    await once(server, 'close')
  })
  return server
}

export const aServer = (listener: RequestListener = (_, response) => void response.end('ok')): Server =>
  closedWithTest(createServer(listener))

export async function listen(server: NetServer, port = 0): Promise<number> {
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

export const attach = (
  server: NetServer,
  registry: Parameters<typeof attachServer>[1],
  more: ServerOptions = {},
): ServerRegistration =>
  attachServer(server, registry, { name: 'orders', drainDelay: 0, signals: false, ...more })

export const ready = ({ registration }: ServerRegistration): Promise<void> => registration!.ready()

export function closed(server: NetServer): Promise<unknown> {
  const over = once(server, 'close')
  server.close()
  return over
}

export async function answer(port: number, agent?: Agent): Promise<IncomingMessage & { text: string }> {
  const request = get({ port, host: '127.0.0.1', ...(agent && { agent }) })
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  let text = ''
  for await (const chunk of response) text += chunk
  return Object.assign(response, { text })
}
