import { callGateway, type EtcdAddress } from './etcd-http.ts'
import type { EtcdAuthOptions } from './etcd-options.ts'

/** Creates root and the users with their roles, then turns authentication on. */
export async function enableAuth(etcd: EtcdAddress, auth: EtcdAuthOptions): Promise<void> {
  const call = (path: string, body: object) => callGateway<object>(etcd, `/auth/${path}`, body)
  await call('user/add', { name: 'root', password: auth.rootPassword })
  await call('role/add', { name: 'root' })
  await call('user/grant', { user: 'root', role: 'root' })
  for (const { name, password, role } of auth.users ?? []) {
    await call('user/add', { name, password })
    if (role === undefined) continue
    const perm = { permType: role.permission.toUpperCase(), ...prefixRange(role.prefix) }
    await call('role/add', { name })
    await call('role/grant', { name, perm })
    await call('user/grant', { user: name, role: name })
  }
  await call('enable', {})
}

/** A token of root's, or undefined where authentication is off. */
export async function rootToken(
  etcd: EtcdAddress,
  auth: EtcdAuthOptions | undefined,
): Promise<string | undefined> {
  if (auth === undefined) return undefined
  const login = { name: 'root', password: auth.rootPassword }
  return (await callGateway<{ token: string }>(etcd, '/auth/authenticate', login)).token
}

/** Every key that starts with the prefix, as the gateway wants it: base64, end exclusive. */
function prefixRange(prefix: string): { key: string; range_end: string } {
  const key = prefix === '' ? Buffer.from([0]) : Buffer.from(prefix)
  const end = Buffer.from(key)
  let last = end.length - 1
  while (last >= 0 && end[last] === 0xff) last--
  if (prefix === '' || last < 0) return { key: key.toString('base64'), range_end: 'AA==' }
  end[last] = end[last]! + 1
  return { key: key.toString('base64'), range_end: end.subarray(0, last + 1).toString('base64') }
}
