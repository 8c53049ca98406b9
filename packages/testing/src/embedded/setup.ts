import { ServerCredentials } from '@grpc/grpc-js'
import { type EtcdCertificates, issueEtcdCertificates } from '../certificates.ts'
import type { EtcdAuthOptions, EtcdTlsOptions } from '../etcd-options.ts'
import { prefixRange } from '../prefix-range.ts'
import type { AuthStore } from './auth-store.ts'

const READ_WRITE = { read: 0, write: 1, readwrite: 2 }

/** Creates root and the users with their roles, then turns authentication on. */
export function setUpAuth(store: AuthStore, { rootPassword, users = [] }: EtcdAuthOptions): void {
  store.addUser('root', rootPassword)
  store.addRole('root')
  store.grantRole('root', 'root')
  for (const { name, password, role } of users) {
    store.addUser(name, password)
    if (role === undefined) continue
    store.addRole(name)
    store.grantPermission(name, { permType: READ_WRITE[role.permission], ...prefixRange(role.prefix) })
    store.grantRole(name, name)
  }
  store.enable()
}

/** What a server shows and asks for, and the certificates that go with it. */
export async function setUpTls(
  option: boolean | EtcdTlsOptions | undefined,
): Promise<{ credentials: ServerCredentials; certificates: EtcdCertificates | undefined }> {
  if (option === undefined || option === false) {
    return { credentials: ServerCredentials.createInsecure(), certificates: undefined }
  }
  const options = option === true ? {} : option
  const certificates = await issueEtcdCertificates(options)
  const { server, client } = certificates
  const pair = { private_key: Buffer.from(server.key), cert_chain: Buffer.from(server.cert) }
  const { clientCerts = false } = options
  return {
    credentials: ServerCredentials.createSsl(
      clientCerts ? Buffer.from(client.ca) : null,
      [pair],
      clientCerts,
    ),
    certificates,
  }
}
