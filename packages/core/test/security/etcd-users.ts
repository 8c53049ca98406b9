import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { EtcdMember } from '@etcd-register/testing'

/** etcd's flags for JWT tokens, and the end of the files that they name. */
export function jwtTokens(ttl = '10m'): { args: string[]; remove(): void } {
  const folder = mkdtempSync(join(tmpdir(), 'jwt-'))
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const write = (name: string, pem: string | Buffer) => {
    writeFileSync(join(folder, name), pem)
    return join(folder, name)
  }
  const pub = write('pub.pem', publicKey.export({ type: 'spki', format: 'pem' }))
  const priv = write('priv.pem', privateKey.export({ type: 'pkcs1', format: 'pem' }))
  const flag = `jwt,pub-key=${pub},priv-key=${priv},sign-method=RS256,ttl=${ttl}`
  return {
    args: ['--auth-token', flag],
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}

const ROOT = { name: 'root', password: 'root-pw' }

/** Users and roles of an etcd, through its JSON gateway, as its root, whose password is `root-pw`. */
export class EtcdUsers {
  readonly #etcd: EtcdMember
  #own = 0

  constructor(etcd: EtcdMember) {
    this.#etcd = etcd
  }

  /** Tries again where another change made its token old. */
  async change(path: string, body: object): Promise<void> {
    for (let tries = 1; ; tries += 1) {
      try {
        this.#own += 1
        const { token } = await this.#call<{ token: string }>('authenticate', ROOT)
        return void (await this.#call(path, body, token))
      } catch (error) {
        if (tries === 10 || !/old|token/.test((error as Error).message)) throw error
      }
    }
  }

  add(name: string): Promise<void> {
    return this.change('user/add', { name, password: `${name}-pw` })
  }

  changePassword(name: string, password: string): Promise<void> {
    return this.change('user/changepw', { name, password })
  }

  /** A user with a role of the same name, for `readwrite` of a prefix. */
  async addWithRole(name: string, password: string, prefix: string): Promise<void> {
    const end = Buffer.from(prefix)
    end[end.length - 1]! += 1
    const perm = {
      permType: 'READWRITE',
      key: Buffer.from(prefix).toString('base64'),
      range_end: end.toString('base64'),
    }
    await this.#call('user/add', { name, password })
    await this.#call('role/add', { name })
    await this.#call('role/grant', { name, perm })
    await this.#call('user/grant', { user: name, role: name })
  }

  async addRoot(): Promise<void> {
    await this.#call('user/add', ROOT)
    await this.#call('role/add', { name: 'root' })
    await this.#call('user/grant', { user: 'root', role: 'root' })
  }

  async enable(): Promise<void> {
    await this.#call('enable', {})
  }

  disable(): Promise<void> {
    return this.change('disable', {})
  }

  /** How many others asked for so far. */
  async authentications(): Promise<number> {
    return ((await this.#etcd.requests()).Authenticate ?? 0) - this.#own
  }

  async #call<Answer>(path: string, body: object, token?: string): Promise<Answer> {
    const response = await fetch(`${this.#etcd.endpoint}/v3/auth/${path}`, {
      method: 'POST',
      headers: token === undefined ? {} : { authorization: token },
      body: JSON.stringify(body),
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`${path}: ${text}`)
    return JSON.parse(text) as Answer
  }
}
