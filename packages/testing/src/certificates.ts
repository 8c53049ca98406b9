import { generateKeyPair, randomBytes } from 'node:crypto'
import { isIP } from 'node:net'
import { promisify } from 'node:util'
import type { pki } from 'node-forge'
import type { EtcdTlsOptions } from './etcd-options.ts'
import { checkWhole } from './whole-number.ts'

const day = 24 * 60 * 60 * 1000

/** Seconds. */
const week = (7 * day) / 1000

/** Names and addresses of a certificate unless it is given others. */
export const defaultHosts: readonly string[] = ['127.0.0.1', 'localhost']

const later = (ms: number) => new Date(Date.now() + ms)

/** A certificate and its private key as PEM strings. */
export interface Certificate {
  readonly cert: string
  readonly key: string
}

/** What a client needs for an etcd with TLS, as PEM strings. */
export interface ClientTls extends Certificate {
  readonly ca: string
}

/** What a certificate says. */
export interface CertificateOptions {
  /** Common name of the subject; default none. */
  commonName?: string | undefined
  /** Names and addresses it is valid for; default `127.0.0.1` and `localhost`. */
  hosts?: readonly string[] | undefined
  /** Valid until yesterday instead of for a week; default false. */
  expired?: boolean | undefined
  /** Seconds from now until it expires, as certificates have them: whole ones; default a week. */
  validFor?: number | undefined
}

/** A certificate authority that lives as long as the test. */
export interface CertificateAuthority {
  /** Its own certificate, as PEM. */
  readonly ca: string
  /** Makes a key and a certificate for it that serves servers and clients. */
  issue(options?: CertificateOptions): Promise<Certificate>
}

/** What one etcd with TLS needs. */
export interface EtcdCertificates {
  readonly authority: CertificateAuthority
  readonly server: Certificate
  readonly client: ClientTls
}

/** Makes an authority that nobody else trusts. */
export async function createCertificateAuthority(): Promise<CertificateAuthority> {
  const { default: forge } = await import('node-forge')
  const subject = [{ shortName: 'CN', value: `etcd-register test authority ${serial()}` }]
  const keys = await rsaKeys()
  const signer = forge.pki.privateKeyFromPem(keys.privateKey)

  function sign(
    publicKey: string,
    holder: pki.CertificateField[],
    notAfter: Date,
    extensions: object[],
  ): string {
    const certificate = forge.pki.createCertificate()
    certificate.publicKey = forge.pki.publicKeyFromPem(publicKey)
    certificate.serialNumber = serial()
    certificate.validity.notBefore = new Date(Date.now() - 7 * day)
    certificate.validity.notAfter = notAfter
    certificate.setSubject(holder)
    certificate.setIssuer(subject)
    certificate.setExtensions([...extensions, { name: 'subjectKeyIdentifier' }])
    certificate.sign(signer, forge.md.sha256.create())
    return forge.pki.certificateToPem(certificate)
  }

  return {
    ca: sign(keys.publicKey, subject, later(week * 1000), [
      { name: 'basicConstraints', critical: true, cA: true },
      { name: 'keyUsage', critical: true, keyCertSign: true, cRLSign: true },
    ]),
    async issue({ commonName, hosts = defaultHosts, expired = false, validFor } = {}) {
      if (validFor !== undefined) checkWhole('validFor', validFor, 1)
      const { publicKey, privateKey } = await rsaKeys()
      // to etcd a common name is a user's name, so there is none unless somebody asks for it
      const holder =
        commonName === undefined
          ? [{ shortName: 'O', value: 'etcd-register' }]
          : [{ shortName: 'CN', value: commonName }]
      const altNames = hosts.map(host =>
        isIP(host) === 0 ? { type: 2, value: host } : { type: 7, ip: host },
      )
      const cert = sign(publicKey, holder, later(expired ? -day : (validFor ?? week) * 1000), [
        { name: 'basicConstraints', critical: true, cA: false },
        { name: 'keyUsage', critical: true, digitalSignature: true, keyEncipherment: true },
        { name: 'extKeyUsage', serverAuth: true, clientAuth: true },
        { name: 'subjectAltName', altNames },
      ])
      return { cert, key: privateKey }
    },
  }
}

/** An authority with a server's and a client's certificate. */
export async function issueEtcdCertificates(options: EtcdTlsOptions): Promise<EtcdCertificates> {
  const authority = await createCertificateAuthority()
  const [server, client] = await Promise.all([
    authority.issue(options.server),
    authority.issue({ commonName: options.commonName ?? 'client' }),
  ])
  return { authority, server, client: { ca: authority.ca, ...client } }
}

/** Keys of OpenSSL's making: node-forge would take seconds for them. */
export function rsaKeys(): Promise<{ publicKey: string; privateKey: string }> {
  return promisify(generateKeyPair)('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
  })
}

/** Positive, so that its first bit is 0. */
function serial(): string {
  return `01${randomBytes(8).toString('hex')}`
}
