import { closeSync, openSync } from 'node:fs'
import Module from 'node:module'
import { EtcdRegisterError } from '../support/errors.ts'
import type { Logger } from '../support/logger.ts'
import { shown } from '../support/text.ts'

type Etcd3Package = typeof import('etcd3')

// Not imported by name: webpack would look for what such a `createRequire` loads, and warn that it cannot tell.
const { createRequire } = Module

/** Loads etcd3, which takes its time (some 300 ms). Rejects with our error; may be called again after that. */
export async function loadClient(): Promise<Etcd3Package> {
  try {
    return await import('etcd3')
  } catch (error) {
    // An import() that failed once fails for ever in this process; a require() is tried again.
    const again = tryRequire()
    if (again === undefined) throw notLoaded(error)
    return again
  }
}

/** Node also remembers that it could not read the file that names the main file of a package. */
const ENTRIES = ['etcd3', 'etcd3/lib/index.js']

function tryRequire(): Etcd3Package | undefined {
  for (const entry of ENTRIES) {
    try {
      return createRequire(import.meta.url)(entry)
    } catch {
      // The error of the import() says more.
    }
  }
  return undefined
}

/** The version of gRPC that etcd3 uses, which is as old as a lockfile has it; undefined in a bundle, where it has none. */
function grpcVersion(): string | undefined {
  try {
    const etcd3 = createRequire(import.meta.url).resolve('etcd3')
    const load = createRequire(etcd3)
    return (load('@grpc/grpc-js/package.json') as { version: string }).version
  } catch {
    return undefined
  }
}

let warned = false

/** Warns once in a process where gRPC is too old: what is built on here came with 1.13. */
export function warnOfOldGrpc(logger: Logger): void {
  const version = warned ? undefined : grpcVersion()
  if (version === undefined) return
  const [major, minor] = version.split('.').map(Number) as [number, number]
  if (major > 1 || (major === 1 && minor >= 13)) return
  warned = true
  const trouble = 'connections can fail or hang with it, those over TLS above all'
  logger.warn(
    { version },
    `etcd3 uses @grpc/grpc-js ${shown(version)}: ${trouble}. Update it to 1.13 or newer.`,
  )
}

function notLoaded(cause: unknown): EtcdRegisterError {
  const limit = descriptorLimit()
  // Node adds lines on who required it.
  const [reason] = (limit ?? shown(cause instanceof Error ? cause.message : String(cause))).split('\\u000a')
  const failed = `The package etcd3 cannot be loaded (${reason}).`
  if (limit !== undefined) {
    const advice = 'The process has no file descriptor left: raise its limit (ulimit -n).'
    return new EtcdRegisterError('ERR_ETCD_UNAVAILABLE', `${failed} ${advice}`, { cause })
  }
  const advice = /ERR_ACCESS_DENIED|has been restricted/.test(
    `${(cause as NodeJS.ErrnoException).code} ${reason}`,
  )
    ? "Node's permission model forbids to read it: allow that with --allow-fs-read."
    : 'Install it where the app runs, and keep it out of a bundle (external).'
  return new EtcdRegisterError('ERR_ETCD_CLIENT', `${failed} ${advice}`, { cause })
}

/** The error with which no file can be opened now. Without descriptors Node reports that packages are missing. */
function descriptorLimit(): string | undefined {
  try {
    closeSync(openSync(process.execPath, 'r'))
    return undefined
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    return code === 'EMFILE' || code === 'ENFILE' ? message.replace(/, open .*/, '') : undefined
  }
}
