import type { ClientTls } from './etcd-http.ts'
import type { EtcdTlsOptions } from './etcd-options.ts'

/** What one etcd with TLS needs. */
export interface EtcdCertificates {
  readonly server: { readonly cert: string; readonly key: string }
  readonly client: ClientTls
}

export async function issueEtcdCertificates(options: EtcdTlsOptions): Promise<EtcdCertificates> {
  throw new Error(`not yet ${options}`)
}
