import { callGateway, type EtcdAddress } from './etcd-http.ts'
import type { EtcdAuthOptions } from './etcd-options.ts'
import { prefixRange } from './prefix-range.ts'

/** Creates root and the users with their roles, then turns authentication on. */
export async function enableAuth(etcd: EtcdAddress, auth: EtcdAuthOptions): Promise<void> {
  const call = (path: string, body: object) => callGateway<object>(etcd, `/auth/${path}`, body)
  await call('user/add', { name: 'root', password: auth.rootPassword })
  await call('role/add', { name: 'root' })
  await call('user/grant', { user: 'root', role: 'root' })
  for (const { name, password, role } of auth.users ?? []) {
    await call('user/add', { name, password })
    if (role === undefined) continue
    const range = prefixRange(role.prefix)
    const perm = {
      permType: role.permission.toUpperCase(),
      key: range.key.toString('base64'),
      range_end: range.range_end.toString('base64'),
    }
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
