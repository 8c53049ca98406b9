import type { EtcdModuleOptions } from '@etcd-register/nestjs'
import { type EtcdMember, startEtcdBinary } from '@etcd-register/testing'
import { afterAll, beforeAll } from 'vitest'

/** An etcd for the tests of a file, and options for an app with a name of its own. */
export function useEtcd(): {
  member(): EtcdMember
  options(name: string): EtcdModuleOptions & { name: string }
} {
  let etcd: EtcdMember
  beforeAll(async () => {
    etcd = await startEtcdBinary()
  })
  afterAll(() => etcd?.stop())
  return {
    member: () => etcd,
    options: name => ({ name, hosts: etcd.endpoint, drainDelay: 0, logger: false }),
  }
}
