import { execFile } from 'node:child_process'
import { rmSync } from 'node:fs'
import { promisify } from 'node:util'
import { cleanEnvironment, findEtcdctl, findEtcdutl } from './binary.ts'

/** A backup of an etcd's store. It is gone when the etcd is stopped. */
export interface EtcdSnapshot {
  /** The file, as `etcdctl snapshot save` wrote it. */
  readonly path: string
  /** Whether authentication was on. */
  readonly auth: boolean
}

/** How a snapshot is restored. */
export interface RestoreOptions {
  /** Adds so much to the revision, so that no client has seen a later one; etcd 3.6 and newer. Default 0. */
  bumpRevision?: number | undefined
  /** Marks all revisions up to the new one as compacted, which ends watches. Default: with `bumpRevision`, which needs it. */
  markCompacted?: boolean | undefined
}

/** Major and minor number of an etcd binary: `3.6`. */
export async function versionOf(bin: string): Promise<string> {
  const { stdout } = await promisify(execFile)(bin, ['--version'], { env: cleanEnvironment() })
  const version = /etcd Version: (\d+\.\d+)/.exec(stdout)?.[1]
  if (version === undefined) throw new Error(`${bin} --version does not say which etcd it is: ${stdout}`)
  return version
}

/** Makes a data folder from a snapshot. `member`: the flags that name the member and its cluster. Checks before it changes anything. */
export async function planRestore(
  bin: string,
  { path }: EtcdSnapshot,
  { bumpRevision = 0, markCompacted = bumpRevision > 0 }: RestoreOptions,
): Promise<(folder: string, member: readonly string[]) => Promise<void>> {
  const version = await versionOf(bin)
  const [major, minor] = version.split('.').map(Number)
  const hasUtl = major! > 3 || minor! >= 6
  if ((bumpRevision > 0 || markCompacted) && !hasUtl) {
    throw new Error(
      `etcd ${version} cannot restore with bumpRevision or markCompacted: that needs 3.6 or newer`,
    )
  }
  const tool = hasUtl ? findEtcdutl(bin) : findEtcdctl(bin)
  const flags = [
    ...(bumpRevision > 0 ? ['--bump-revision', String(bumpRevision)] : []),
    ...(markCompacted ? ['--mark-compacted'] : []),
  ]
  return async (folder, member) => {
    rmSync(folder, { recursive: true, force: true })
    await promisify(execFile)(
      tool,
      ['snapshot', 'restore', path, '--data-dir', folder, ...member, ...flags],
      {
        env: { ...cleanEnvironment(), ETCDCTL_API: '3' },
      },
    )
  }
}
