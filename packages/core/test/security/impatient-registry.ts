import type { Registry, RegistryOptions } from '@etcd-register/core'
import { systemClock } from '../../src/etcd/support/clock.ts'
import { resolveOptions } from '../../src/registry/options.ts'
import { EtcdRegistry } from '../../src/registry/registry.ts'

export interface Watched {
  registry: Registry
  /** Messages of warnings and errors. */
  warnings: string[]
  infos: string[]
  /** How often it has backed off so far. */
  tries(): number
}

/**
 * A registry that tries again after a tenth of the time, so that a test sees many tries in a second. It waits long for an
 * answer: a machine that is busy must not look like an etcd that is.
 */
export function impatientRegistry(options: RegistryOptions, env: NodeJS.ProcessEnv = {}): Watched {
  const warnings: string[] = []
  const infos: string[] = []
  const ignore = () => {}
  const info = (_: object, message: string) => void infos.push(message)
  const warn = (_: object, message: string) => void warnings.push(message)
  let tries = 0
  const random = () => {
    tries += 1
    return Math.random() / 10
  }
  const logger = { debug: ignore, info, warn, error: warn }
  const registry = new EtcdRegistry(
    resolveOptions({ ttl: 30, requestTimeout: 10_000, logger, ...options }, env),
    {
      ...systemClock,
      random,
    },
  )
  return { registry, warnings, infos, tries: () => tries }
}
