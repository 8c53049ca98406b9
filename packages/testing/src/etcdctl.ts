import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { cleanEnvironment } from './binary.ts'
import type { ClientTls } from './certificates.ts'
import type { EtcdUsers } from './etcd-options.ts'

export interface EtcdctlTarget {
  /** URL, or host and port alone. */
  readonly endpoint: string
  readonly tls: ClientTls | undefined
  readonly auth: EtcdUsers | undefined
}

/** Runs etcdctl as root, and returns what it prints. */
export async function runEtcdctl(
  bin: string,
  { endpoint, tls, auth }: EtcdctlTarget,
  args: string[],
): Promise<string> {
  const cwd = mkdtempSync(join(tmpdir(), 'etcdctl-'))
  try {
    const files = Object.entries(tls ?? {}).flatMap(([name, pem]) => {
      writeFileSync(join(cwd, name), pem, { mode: 0o600 })
      return [name === 'ca' ? '--cacert' : `--${name}`, name]
    })
    const user = auth === undefined ? {} : { ETCDCTL_USER: `root:${auth.rootPassword}` }
    const { stdout } = await promisify(execFile)(bin, ['--endpoints', endpoint, ...files, ...args], {
      cwd,
      env: { ...cleanEnvironment(), ETCDCTL_API: '3', ...user },
    })
    return stdout
  } finally {
    rmSync(cwd, { recursive: true, force: true })
  }
}
