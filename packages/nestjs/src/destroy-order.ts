import type { ModulesContainer } from '@nestjs/core'

/**
 * Nest calls hooks module by module, sorted by their distance. Up to 10 it destroys in the order in which it
 * initialises, from the largest distance on; since 11, where global modules got the largest one, in reverse.
 */
export function destroysInReverse(modules: ModulesContainer): boolean {
  // Nest's own core module is global in every app.
  return [...modules.values()].some(({ isGlobal, distance }) => isGlobal && distance === Number.MAX_VALUE)
}

/**
 * Has the destroy hooks of the module with this provider called before those of all others. Nest knows no such order:
 * `distance` is not documented. Where it cannot be set the hook comes late, and closing the server still deregisters.
 */
export function destroyFirst(modules: ModulesContainer, provider: string): void {
  // Not the number that tells the order apart.
  const distance = destroysInReverse(modules) ? -1 : Number.MAX_SAFE_INTEGER
  for (const module of modules.values()) {
    if (module.providers.has(provider)) Reflect.set(module, 'distance', distance)
  }
}

/** An adapter of Nest 12, which may refuse requests from this call on: before any hook. */
interface ClosingAdapter {
  beforeClose?(): unknown
}

/** Has `leave` done while requests are still taken. */
export function leaveBeforeClose(httpAdapter: object, leave: () => Promise<void>): void {
  const adapter: ClosingAdapter = httpAdapter
  const { beforeClose } = adapter
  if (beforeClose === undefined) return
  adapter.beforeClose = async () => {
    await leave()
    await beforeClose.call(adapter)
  }
}
