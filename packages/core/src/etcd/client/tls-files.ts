import { createSecureContext, type SecureContext } from 'node:tls'
import { pathsOf, readTls, type Tls, type TlsParts } from '../options/credentials.ts'
import { systemClock } from '../support/clock.ts'
import type { EtcdRegisterError } from '../support/errors.ts'
import type { Logger } from '../support/logger.ts'
import { errorFields } from '../support/logger.ts'
import { shown } from '../support/text.ts'
import { WarnOnce } from '../support/warn-once.ts'

/** The certificates for the next connection: files are read again, as short-lived certificates are renewed in place. */
export class TlsFiles {
  readonly #sources: NonNullable<Tls['sources']>
  readonly #paths: string
  readonly #logger: Logger
  /** As used last. */
  #parts: TlsParts
  #context: SecureContext | undefined
  readonly #damaged: WarnOnce

  constructor(tls: Tls, logger: Logger) {
    this.#sources = tls.sources ?? {}
    this.#paths = pathsOf(this.#sources).map(shown).join(', ')
    this.#logger = logger
    this.#damaged = new WarnOnce(systemClock, logger)
    this.#parts = tls
  }

  /** Of ours, as used last. */
  get certificate(): Buffer | undefined {
    return this.#parts.cert
  }

  /** `undefined`: nothing changed since the start. Files that do not fit together, half written, leave it as it was. */
  current(): SecureContext | undefined {
    if (this.#paths !== '') this.#read()
    return this.#context
  }

  #read(): void {
    try {
      const parts = readTls(this.#sources)
      const same = (['ca', 'cert', 'key'] as const).every(part => isSame(parts[part], this.#parts[part]))
      if (!same) {
        const ciphers = process.env.GRPC_SSL_CIPHER_SUITES
        this.#context = createSecureContext({ ...parts, ...(ciphers && { ciphers }) })
        this.#parts = parts
        this.#logger.info({ paths: this.#paths }, `read the renewed certificates in ${this.#paths}`)
      }
      this.#damaged.ends(() => ({
        fields: { paths: this.#paths },
        message: `the files of "tls" can be used again (${this.#paths})`,
      }))
    } catch (error) {
      const { message } = error as Error
      const fields = { ...errorFields(error as EtcdRegisterError), paths: this.#paths }
      const text = `The files of "tls" cannot be used now, so the certificates read before are used on. ${message}`
      this.#damaged.begins(message, { fields, message: text })
    }
  }
}

function isSame(one: Buffer | undefined, other: Buffer | undefined): boolean {
  return one === other || (one !== undefined && other !== undefined && one.equals(other))
}
