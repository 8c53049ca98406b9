/** A line of etcd whose answers the embedded one gives. */
export type EtcdVersion = '3.4' | '3.5' | '3.6' | '3.7'

/** What differs between the versions of etcd. */
export interface Rules {
  /** What `Status` reports. */
  readonly release: string
  /** The version of the data, which `Status` reports along with the quota. */
  readonly storageVersion: string | undefined
  /** RPCs that it does not know. */
  readonly lacks: readonly string[]

  /** Over TLS, an `:authority` with slashes is taken, as it is without. */
  readonly takesSlashesOverTls: boolean

  // watches

  /** A progress request is answered only once each watch of its stream is synced, and never without a watch. */
  readonly progressOnlyWhenSynced: boolean
  /** A watch that starts below 0 is refused. Without this, it is treated as one of the past. */
  readonly refusesNegativeStart: boolean
  /** A compaction keeps the deletes of the very revision for watches that start there, as it keeps the puts. */
  readonly keepsCompactedDeletes: boolean

  // reads

  /** Tells a `range_end` that was sent empty, which means all keys that follow, from none. What is written never does. */
  readonly tellsEmptyEnds: boolean
  /** A sort order or target that is none is refused. */
  readonly checksSortOptions: boolean
  /** Keys that are read without their values come without their leases, unless they are sorted by their values. */
  readonly keysOnlyLacksLeases: boolean
  /** Of what would fail in a transaction, the first is told. Without this, puts come before ranges. */
  readonly checksTxnsInOrder: boolean
  /** Of a put in a transaction whose lease and key are both missing, the lease is told. */
  readonly checksLeasesFirst: boolean

  // authentication

  /** A token is not looked at while authentication is off. */
  readonly ignoresTokensWithoutAuth: boolean
  /** A login does not look at the token that comes along. */
  readonly ignoresTokensOfLogins: boolean
  /** Leases, members and status are told only to users; who renews or lists a lease needs permission for its keys. */
  readonly guardsLeasesAndStatus: boolean
  /** Only root may compact. */
  readonly guardsCompaction: boolean
  /** In transactions, nested ones and leases and former values of puts are looked at as well. */
  readonly guardsAllOfTxns: boolean
  /** A watch of all keys from one on needs permission for all of them, not only for the first. */
  readonly guardsOpenEndOfWatches: boolean
  /** A permission has to be given, for a range that has keys. */
  readonly checksPermissions: boolean
  /** `AuthStatus` is for root only. */
  readonly guardsAuthStatus: boolean
  /** Refusals of `Defragment`, and of `Alarm` where it refuses at all, are of gRPC's codes. */
  readonly codesOfDefragment: boolean
  readonly codesOfAlarm: boolean
}

const RELEASES: Readonly<Record<EtcdVersion, string>> = {
  '3.4': '3.4.23',
  '3.5': '3.5.35',
  '3.6': '3.6.16',
  '3.7': '3.7.3',
}

export function rulesOf(version: EtcdVersion): Rules {
  if (!Object.hasOwn(RELEASES, version)) {
    const known = Object.keys(RELEASES).join(', ')
    throw new RangeError(`No version of etcd that the embedded one can be: ${version}. It can be ${known}`)
  }
  const since35 = version !== '3.4'
  const since36 = since35 && version !== '3.5'
  const since37 = version === '3.7'
  return {
    release: RELEASES[version],
    storageVersion: since36 ? `${version}.0` : undefined,
    lacks: [...(since35 ? [] : ['AuthStatus']), ...(since37 ? [] : ['RangeStream'])],
    takesSlashesOverTls: !since35 || since37,
    progressOnlyWhenSynced: since35,
    refusesNegativeStart: since35,
    keepsCompactedDeletes: since35,
    tellsEmptyEnds: !since37,
    checksSortOptions: since36,
    keysOnlyLacksLeases: since37,
    checksTxnsInOrder: since36,
    checksLeasesFirst: since37,
    ignoresTokensWithoutAuth: since35,
    ignoresTokensOfLogins: since35,
    guardsLeasesAndStatus: since35,
    guardsCompaction: since35,
    guardsAllOfTxns: since35,
    guardsOpenEndOfWatches: since35,
    checksPermissions: since35,
    guardsAuthStatus: !since37,
    codesOfDefragment: since36,
    codesOfAlarm: since35,
  }
}
