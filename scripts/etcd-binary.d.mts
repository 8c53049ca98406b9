export const etcdVersions: string[]
export function etcdBinary(version: string): string
export function versionOf(etcd: string): string
