import type { TlsOptions } from 'node:tls'
import { type EtcdCertificates, issueEtcdCertificates } from '../certificates.ts'
import type { EtcdTlsOptions, EtcdUsers } from '../etcd-options.ts'
import { prefixRange } from '../prefix-range.ts'
import type { AuthStore } from './auth-store.ts'

const READ_WRITE = { read: 0, write: 1, readwrite: 2 }

/** Creates root and the users with their roles, or changes those there are, then turns authentication on. */
export function setUpAuth(store: AuthStore, { rootPassword, users = [] }: EtcdUsers): void {
  const addUser = (name: string, password: string) => {
    if (store.userNames().includes(name)) store.changePassword(name, password)
    else store.addUser(name, password)
  }
  const addRole = (name: string) => {
    if (!store.roleNames().includes(name)) store.addRole(name)
  }
  addUser('root', rootPassword)
  addRole('root')
  store.grantRole('root', 'root')
  for (const { name, password, role } of users) {
    addUser(name, password)
    if (role === undefined) continue
    addRole(name)
    store.grantPermission(name, { permType: READ_WRITE[role.permission], ...prefixRange(role.prefix) })
    store.grantRole(name, name)
  }
  store.enable()
}

/** What a server shows and asks for, and the certificates that go with it. */
export async function setUpTls(
  options: EtcdTlsOptions | undefined,
): Promise<{ tlsServer: TlsOptions | undefined; certificates: EtcdCertificates | undefined }> {
  if (options === undefined) return { tlsServer: undefined, certificates: undefined }
  const certificates = await issueEtcdCertificates(options)
  const { server, client } = certificates
  const clients = options.clientCerts ? { ca: client.ca, requestCert: true, rejectUnauthorized: true } : {}
  return { tlsServer: { ...server, ...clients }, certificates }
}
