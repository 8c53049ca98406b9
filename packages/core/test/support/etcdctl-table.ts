import type { EtcdMember } from '@etcd-register/testing'

/** One key as etcdctl shows it; int64 as decimal text where a number could not hold it. */
export interface Row {
  key: string
  value: string
  lease: string
  /** Writes since it was created. */
  version: number
  createRevision: number
  modRevision: number
}

/** What etcd holds under a prefix. */
export async function rows(etcd: EtcdMember, prefix = '/'): Promise<Row[]> {
  const text = await etcd.etcdctl('get', '--prefix', prefix, '-w', 'json')
  const { kvs = [] } = JSON.parse(text.replace(/"lease":(\d+)/g, '"lease":"$1"')) as {
    kvs?: {
      key: string
      value?: string
      lease?: string
      version: number
      create_revision: number
      mod_revision: number
    }[]
  }
  return kvs.map(kv => ({
    key: Buffer.from(kv.key, 'base64').toString(),
    value: Buffer.from(kv.value ?? '', 'base64').toString(),
    lease: BigInt(kv.lease ?? 0).toString(16),
    version: kv.version,
    createRevision: kv.create_revision,
    modRevision: kv.mod_revision,
  }))
}

/** The one key under a prefix, or `undefined`. */
export async function row(etcd: EtcdMember, prefix = '/'): Promise<Row | undefined> {
  return (await rows(etcd, prefix))[0]
}

/** Ids of the leases that live, in hexadecimal. */
export async function leases(etcd: EtcdMember): Promise<string[]> {
  const [, ...ids] = (await etcd.etcdctl('lease', 'list')).trim().split('\n')
  return ids.map(id => BigInt(`0x${id}`).toString(16))
}

/** The revision that the store is at. */
export async function revision(etcd: EtcdMember): Promise<number> {
  const text = await etcd.etcdctl('get', '/', '--write-out', 'fields')
  return Number(/"Revision" : (\d+)/.exec(text)![1])
}
