import { createRegistry, type EtcdRegisterError } from '@etcd-register/core'
import { type FaultProxy, startEtcd, startEtcdBinary, startFaultProxy } from '@etcd-register/testing'

/** The etcd of this demo, and the consumer's own link to it, which can be cut. */
export interface Etcd {
  /** For people. */
  readonly label: string
  /** What the instances get as `ETCD_ENDPOINTS`. */
  readonly endpoints: string
  /** The one behind the link. */
  readonly target: string
  readonly link: FaultProxy
  stop(): Promise<void>
}

/**
 * Starts a real etcd if that is wanted, else uses `ETCD_ENDPOINTS` if set, else starts the embedded one. Rejects with
 * a message for people.
 */
export async function openEtcd(real: boolean): Promise<Etcd> {
  const given = process.env.ETCD_ENDPOINTS?.trim()
  return given && !real ? useEtcd(given) : startOwn(real)
}

async function startOwn(real: boolean): Promise<Etcd> {
  const etcd = await (real ? startEtcdBinary() : startEtcd())
  // What is set for another etcd, such as a password, is not for this one.
  for (const name of Object.keys(process.env)) if (/^ETCD(CTL)?_/.test(name)) delete process.env[name]
  const { endpoint } = etcd
  const link = await startFaultProxy(endpoint)
  const stop = async () => {
    await link.stop()
    await etcd.stop()
  }
  const what = real ? 'a real one' : 'in this process, in memory only'
  return {
    label: `${endpoint} (${what}), started for this demo`,
    endpoints: endpoint,
    target: endpoint,
    link,
    stop,
  }
}

async function useEtcd(endpoints: string): Promise<Etcd> {
  const [target] = createRegistry({ hosts: endpoints, logger: false }).status().etcd.hosts as [string]
  const link = await startFaultProxy(target)
  return { label: `${target}, from ETCD_ENDPOINTS`, endpoints, target, link, stop: () => link.stop() }
}

/** What to say about an etcd that did not grant the first request. */
export function complaint({ code, message }: EtcdRegisterError, { target }: Etcd): string {
  if (code === 'ERR_ETCD_UNAVAILABLE' || code === 'ERR_ETCD_TIMEOUT') {
    return (
      `etcd at ${target} does not answer. Is it running there, and is ETCD_ENDPOINTS right?\n` +
      'Without ETCD_ENDPOINTS the demo starts an etcd of its own.'
    )
  }
  const reason = `etcd at ${target} cannot be used: ${message}`
  if (code !== 'ERR_ETCD_TLS') return reason
  return (
    `${reason}\nThe consumer reaches it through a proxy on 127.0.0.1, so that the link can be cut: the certificate\n` +
    'has to be valid for 127.0.0.1, and ETCD_CACERT has to name its authority.'
  )
}
