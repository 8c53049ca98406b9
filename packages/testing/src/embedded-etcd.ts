import { createBackend } from './embedded/backend.ts'
import { createClock } from './embedded/clock.ts'
import { startServer } from './embedded/server.ts'
import { Traffic } from './embedded/traffic.ts'

/** Options of {@link startEtcd}. */
export interface EmbeddedEtcdOptions {
  /** A free one by default. */
  port?: number
  /** Address to listen on; default `127.0.0.1`. */
  host?: string
}

export interface EmbeddedEtcd {
  readonly endpoint: string
  readonly port: number
  stop(): Promise<void>
}

export async function startEtcd(options: EmbeddedEtcdOptions = {}): Promise<EmbeddedEtcd> {
  const { host = '127.0.0.1' } = options
  const clock = createClock()
  const traffic = new Traffic()
  const backend = createBackend(clock)
  const server = await startServer({ host, port: options.port ?? 0, traffic, backend: () => backend })
  return {
    endpoint: server.endpoint,
    port: server.port,
    async stop() {
      clock.halt()
      await server.stop()
    },
  }
}
