import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import type { ClientTls } from './certificates.ts'

/** Where an etcd listens, and with what to talk to it. */
export interface EtcdAddress {
  readonly endpoint: string
  readonly tls?: ClientTls | undefined
}

interface RequestOptions {
  readonly body?: string
  readonly token?: string
  readonly timeout?: number
}

/** One HTTP request on a connection of its own; rejects on a status other than 200 and after `timeout` ms (5000). */
export function etcdRequest(etcd: EtcdAddress, path: string, options: RequestOptions = {}): Promise<string> {
  const { body, token, timeout = 5000 } = options
  const secure = etcd.endpoint.startsWith('https:')
  return new Promise((resolve, reject) => {
    const request = (secure ? httpsRequest : httpRequest)(`${etcd.endpoint}${path}`, {
      method: body === undefined ? 'GET' : 'POST',
      agent: false,
      headers: token === undefined ? {} : { authorization: token },
      // A server certificate that is broken on purpose must not break the handle's own controls.
      ...(secure ? { ...etcd.tls, rejectUnauthorized: false } : {}),
    })
    const timer = setTimeout(
      () => request.destroy(new Error(`${etcd.endpoint}${path}: no answer in ${timeout} ms`)),
      timeout,
    )
    request.once('close', () => clearTimeout(timer))
    request.once('error', reject)
    request.once('response', response => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', chunk => {
        text += chunk
      })
      response.once('error', reject)
      response.once('end', () => {
        if (response.statusCode === 200) resolve(text)
        else reject(new Error(`${etcd.endpoint}${path}: HTTP ${response.statusCode}: ${text.trim()}`))
      })
    })
    request.end(body)
  })
}

/** Calls etcd's JSON gateway and returns the parsed answer. int64 fields are decimal strings there. */
export async function callGateway<Answer>(
  etcd: EtcdAddress,
  path: string,
  body: object,
  token?: string,
): Promise<Answer> {
  const options = { body: JSON.stringify(body), ...(token === undefined ? {} : { token }) }
  return JSON.parse(await etcdRequest(etcd, `/v3${path}`, options)) as Answer
}
