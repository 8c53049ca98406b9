import { type EmbeddedEtcd, type EtcdBinaryOptions, startEtcd } from '@etcd-register/testing'

export * from '@etcd-register/testing'

/** The embedded etcd in the place of the real one. */
export async function startEtcdBinary(options: EtcdBinaryOptions = {}): Promise<EmbeddedEtcd> {
  const { port, tls, auth, args = [] } = options
  const flag = (name: string) => (args.includes(name) ? Number(args[args.indexOf(name) + 1]) : undefined)
  const maxTxnOps = flag('--max-txn-ops')
  const maxRequestBytes = flag('--max-request-bytes')
  const electionTimeout = flag('--election-timeout')
  return await startEtcd({
    ...(port !== undefined && { port }),
    ...(tls !== undefined && { tls }),
    ...(auth !== undefined && { auth }),
    ...(maxTxnOps !== undefined && { maxTxnOps }),
    ...(maxRequestBytes !== undefined && { maxRequestBytes }),
    ...(electionTimeout !== undefined && { minLeaseTtl: Math.ceil((electionTimeout * 1.5) / 1000) }),
  })
}
