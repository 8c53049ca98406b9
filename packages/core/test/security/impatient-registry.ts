import type { Registry, RegistryOptions } from '@etcd-register/core'
import { systemClock } from '../../src/clock.ts'
import { resolveOptions } from '../../src/options.ts'
import { EtcdRegistry } from '../../src/registry.ts'

export interface Watched {
  registry: Registry
  /** Messages of warnings and errors. */
  warnings: string[]
  /** How often it has backed off so far. */
  tries(): number
}

/** A registry that tries again after a tenth of the time, so that a test sees many tries in a second. */
export function impatientRegistry(options: RegistryOptions, env: NodeJS.ProcessEnv = {}): Watched {
  const warnings: string[] = []
  const ignore = () => {}
  const warn = (_: object, message: string) => void warnings.push(message)
  let tries = 0
  const random = () => {
    tries += 1
    return Math.random() / 10
  }
  const logger = { debug: ignore, info: ignore, warn, error: warn }
  const registry = new EtcdRegistry(resolveOptions({ ttl: 30, logger, ...options }, env), {
    ...systemClock,
    random,
  })
  return { registry, warnings, tries: () => tries }
}
