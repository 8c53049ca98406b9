import type { AddressInfo, Server } from 'node:net'
import { systemClock } from '../etcd/support/clock.ts'
import type { Logger } from '../etcd/support/logger.ts'
import { quoted } from '../etcd/support/text.ts'
import { WarnOnce } from '../etcd/support/warn-once.ts'
import { onListening } from './listening.ts'

/** Other servers may listen before that of the app, such as one for metrics. After this time, in ms, it is overdue. */
const OVERDUE = 1500

/** Until a server of the app listens: warns if another one does, since it can be that of the app, not recognized. */
export class ExpectedServer {
  readonly #service: string | undefined
  readonly #logger: Logger
  readonly #notFound: WarnOnce
  readonly #timers = new Set<() => void>()
  #isFound = false

  constructor(service: string | undefined, logger: Logger) {
    this.#service = service
    this.#logger = logger
    this.#notFound = new WarnOnce(systemClock, logger)
  }

  /** `isKnown`: asked for each server, and once more when it is overdue. `advice`: how to name the server. */
  expect(isKnown: () => boolean, advice: string): () => void {
    const isMissed = () => !this.#isFound && !isKnown()
    const isStranger = (server: Server) =>
      isMissed() && server.listening && server.listenerCount('request') > 0
    const forget = onListening(server => {
      if (!isMissed()) return
      const cancel = systemClock.after(OVERDUE, () => {
        this.#timers.delete(cancel)
        if (isStranger(server)) this.#warn(server, advice)
      })
      this.#timers.add(cancel)
    })
    return () => {
      forget()
      this.#forgetTimers()
      this.#notFound.close()
    }
  }

  found(): void {
    this.#isFound = true
    this.#forgetTimers()
    const message = `the server of "${this.#service}" was found`
    this.#notFound.ends(() => ({ fields: { service: this.#service }, message }))
  }

  /** By a request. */
  foundLate(advice: string): void {
    // This line says as well that the server was found.
    this.#notFound.close()
    this.found()
    const late = `"${this.#service}" was registered with the first request only`
    const message = `${late}: its server was not found through the app; ${advice}`
    this.#logger.warn({ service: this.#service }, message)
  }

  /** A request came over a server that does not listen. */
  handedOver(advice: string): void {
    this.#forgetTimers()
    const how =
      'its requests come over a server that does not listen, and is handed connections by another one'
    const message = `"${this.#service}" is not registered: ${how}. For the one that listens, ${advice}.`
    this.#notFound.begins('handed over', { fields: { service: this.#service }, message })
  }

  #forgetTimers(): void {
    for (const cancel of this.#timers) cancel()
    this.#timers.clear()
  }

  /** It says which server, since there may be several. */
  #warn(server: Server, advice: string): void {
    const address = server.address() as AddressInfo | string | null
    const where = typeof address === 'string' ? quoted(address) : `port ${address?.port}`
    const unknown = `a server listens on ${where}, and nothing shows that it is the app's`
    const message = `"${this.#service}" is not registered: ${unknown}. If it is, ${advice}.`
    this.#notFound.begins('not found', { fields: { service: this.#service }, message })
  }
}
