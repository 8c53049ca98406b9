import {
  createRegistry,
  type DiscoverOptions,
  type Discovery,
  type Logger,
  type Registry,
  type RegistryOptions,
} from '@etcd-register/core'
import {
  type EtcdBinaryOptions,
  type EtcdMember,
  type FaultProxy,
  startEtcdBinary,
  startFaultProxy,
} from '@etcd-register/testing'
import type { TestContext } from 'vitest'
import { Witness } from './oracle.ts'
import { RawWriter } from './raw-writer.ts'

export interface LogLine {
  level: 'debug' | 'info' | 'warn' | 'error'
  fields: Record<string, unknown>
  message: string
}

/** A logger that keeps its lines. */
export function keepLog(): Logger & { lines: LogLine[]; of(level: LogLine['level']): string[] } {
  const lines: LogLine[] = []
  const at = (level: LogLine['level']) => (fields: object, message: string) => {
    lines.push({ level, fields: fields as Record<string, unknown>, message })
  }
  return {
    lines,
    of: level => lines.filter(line => line.level === level).map(({ message }) => message),
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
  }
}

/** A registry that is closed with the test. */
export function openRegistry(
  t: TestContext,
  hosts: string | string[],
  options: RegistryOptions = {},
): Registry {
  const registry = createRegistry({ hosts, logger: false, ...options })
  t.onTestFinished(() => registry.close())
  return registry
}

export function openWriter(t: TestContext, ...args: ConstructorParameters<typeof RawWriter>): RawWriter {
  const writer = new RawWriter(...args)
  t.onTestFinished(() => writer.close())
  return writer
}

export async function startEtcd(t: TestContext, options?: EtcdBinaryOptions): Promise<EtcdMember> {
  const etcd = await startEtcdBinary(options)
  t.onTestFinished(() => etcd.stop())
  return etcd
}

export async function startProxy(t: TestContext, target: { endpoint: string }): Promise<FaultProxy> {
  const proxy = await startFaultProxy(target)
  t.onTestFinished(() => proxy.stop())
  return proxy
}

/** A discovery and the witness of all its changes, once the first list is there. */
export async function discover(
  registry: Registry,
  name: string,
  options?: DiscoverOptions,
): Promise<{ discovery: Discovery; witness: Witness }> {
  const discovery = registry.discover(name, options)
  const witness = new Witness(discovery)
  await discovery.ready()
  return { discovery, witness }
}

/** Resolves with the event's argument; a test that waits in vain fails by its own timeout. */
export function nextEvent<Name extends 'change' | 'stale' | 'fresh'>(
  discovery: Discovery,
  event: Name,
): Promise<unknown> {
  return new Promise(resolve => discovery.once(event as 'change', resolve))
}

/** Resolves when the table is complete up to a revision. */
export async function reached(discovery: Discovery, revision: number): Promise<void> {
  while (discovery.revision < revision) await new Promise(resolve => setTimeout(resolve, 1))
}

/** Resolves when the discovery is kept current, now or after its next `fresh`. */
export async function untilFresh(discovery: Discovery): Promise<void> {
  if (discovery.stale) await nextEvent(discovery, 'fresh')
}
