import { isIP } from 'node:net'
import { type ConnectionOptions, checkServerIdentity } from 'node:tls'
import type { Tls } from '../options/credentials.ts'
import type { TlsFiles } from './tls-files.ts'

/** Those parts of gRPC's classes that are used here. */
interface SecureConnector {
  connectionOptions?: ConnectionOptions
  connect(...args: unknown[]): unknown
}
interface ChannelCredentials {
  _createSecureConnector?(...args: unknown[]): SecureConnector
}

/**
 * Sets what gRPC has no option for: certificates that are read again for each connection, and the name to check.
 *
 * gRPC gives an address as the TLS server name, which RFC 6066 forbids: Node warns of it, and from 26 on refuses to
 * connect. Without a name the certificate is still checked against the address.
 */
export function secureConnectors(pool: unknown, tls: Tls, files: TlsFiles): void {
  // One object for all members and for the authentication.
  const [host] = (pool as { hosts: { channelCredentials: ChannelCredentials }[] }).hosts
  const credentials = host?.channelCredentials
  const create = credentials?._createSecureConnector
  if (credentials === undefined || create === undefined) return
  credentials._createSecureConnector = (...args) => {
    const connector = create.apply(credentials, args)
    const options = connector.connectionOptions
    if (options === undefined) return connector
    const { serverName } = tls
    if (serverName !== undefined) {
      options.servername = serverName
      options.checkServerIdentity = (_, certificate) => checkServerIdentity(serverName, certificate)
    }
    if (isIP(options.servername ?? '') > 0) options.servername = ''
    const { connect } = connector
    connector.connect = (...to) => {
      const secureContext = files.current()
      if (secureContext !== undefined) options.secureContext = secureContext
      return connect.apply(connector, to)
    }
    return connector
  }
}
