/** A line of etcd whose answers the embedded one gives. */
export type EtcdVersion = '3.4' | '3.5' | '3.6' | '3.7'

/** What differs between the versions of etcd. */
export interface Rules {
  /** What `Status` reports. */
  readonly release: string
  /** A progress request is answered only once each watch of its stream is synced, and never without a watch. */
  readonly progressOnlyWhenSynced: boolean
  /** A watch that starts below 0 is refused. Without this, it is treated as one of the past. */
  readonly refusesNegativeStart: boolean
  /** A compaction keeps the deletes of the very revision for watches that start there, as it keeps the puts. */
  readonly keepsCompactedDeletes: boolean
}

const RELEASES: Readonly<Record<EtcdVersion, string>> = {
  '3.4': '3.4.23',
  '3.5': '3.5.30',
  '3.6': '3.6.16',
  '3.7': '3.7.3',
}

export function rulesOf(version: EtcdVersion): Rules {
  if (!Object.hasOwn(RELEASES, version)) {
    const known = Object.keys(RELEASES).join(', ')
    throw new RangeError(`No version of etcd that the embedded one can be: ${version}. It can be ${known}`)
  }
  const since35 = version !== '3.4'
  return {
    release: RELEASES[version],
    progressOnlyWhenSynced: since35,
    refusesNegativeStart: since35,
    keepsCompactedDeletes: since35,
  }
}
