import { type EmbeddedEtcd, type EtcdBinaryOptions, startEtcd } from '@etcd-register/testing'

export * from '@etcd-register/testing'

/** The embedded etcd in the place of the real one. */
export async function startEtcdBinary(options: EtcdBinaryOptions = {}): Promise<EmbeddedEtcd> {
  const { port, tls, auth, args = [] } = options
  const flag = (name: string) => (args.includes(name) ? Number(args[args.indexOf(name) + 1]) : undefined)
  const maxTxnOps = flag('--max-txn-ops')
  const electionTimeout = flag('--election-timeout')
  return await startEtcd({
    ...(port !== undefined && { port }),
    ...(tls !== undefined && { tls }),
    ...(auth !== undefined && { auth }),
    ...(maxTxnOps !== undefined && { maxTxnOps }),
    ...(electionTimeout !== undefined && { minLeaseTtl: Math.ceil((electionTimeout * 1.5) / 1000) }),
  })
}
