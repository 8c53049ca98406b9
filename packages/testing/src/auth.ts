import { callGateway, type EtcdAddress } from './etcd-http.ts'
import type { EtcdAuthOptions, EtcdUsers } from './etcd-options.ts'
import { prefixRange } from './prefix-range.ts'

/** Authentication of one etcd, as its members and their controls share it. */
export interface AuthState {
  /** Those it was last enabled with; undefined before that. */
  users: EtcdUsers | undefined
  enabled: boolean
}

/** What root logs in with, while that is needed. */
export function rootLogin({ users, enabled }: AuthState): EtcdUsers | undefined {
  return enabled ? users : undefined
}

export function usersFor(given: EtcdUsers | undefined, state: Pick<AuthState, 'users'>): EtcdUsers {
  const users = given ?? state.users
  if (users === undefined) {
    throw new Error('There are no users yet: give enableAuth() at least the password of root')
  }
  return users
}

/** Creates root and the users with their roles, or changes those there are, then turns authentication on. */
export async function enableAuth(etcd: EtcdAddress, state: AuthState, given?: EtcdUsers): Promise<void> {
  const users = usersFor(given, state)
  const call = async (path: string, body: object) =>
    // with a new token each: a change of users makes JWT tokens invalid
    callGateway<object>(etcd, `/auth/${path}`, body, await rootToken(etcd, state))
  const create = (path: string, body: object) =>
    call(path, body).then(
      () => 'created',
      error => {
        if (!String(error).includes('already exists')) throw error
        return 'exists'
      },
    )
  const addUser = async (name: string, password: string) => {
    if ((await create('user/add', { name, password })) === 'created') return
    await call('user/changepw', { name, password })
    if (name === 'root') state.users = users
  }

  await addUser('root', users.rootPassword)
  await create('role/add', { name: 'root' })
  await call('user/grant', { user: 'root', role: 'root' })
  for (const { name, password, role } of users.users ?? []) {
    await addUser(name, password)
    if (role === undefined) continue
    const range = prefixRange(role.prefix)
    const perm = {
      permType: role.permission.toUpperCase(),
      key: range.key.toString('base64'),
      range_end: range.range_end.toString('base64'),
    }
    await create('role/add', { name })
    await call('role/grant', { name, perm })
    await call('user/grant', { user: name, role: name })
  }
  await call('enable', {})
  state.users = users
  state.enabled = true
}

/** Turns authentication off. Users and roles stay. */
export async function disableAuth(etcd: EtcdAddress, state: AuthState): Promise<void> {
  const token = await rootToken(etcd, state)
  if (token !== undefined) await callGateway(etcd, '/auth/disable', {}, token)
  state.enabled = false
}

/** A token of root's, or undefined where authentication is off. */
export async function rootToken(etcd: EtcdAddress, state: AuthState): Promise<string | undefined> {
  const login = rootLogin(state)
  if (login === undefined) return undefined
  const user = { name: 'root', password: login.rootPassword }
  try {
    return (await callGateway<{ token: string }>(etcd, '/auth/authenticate', user)).token
  } catch (error) {
    // a client has turned it off
    if (String(error).includes('authentication is not enabled')) return undefined
    throw error
  }
}

/** The state that a new etcd is to have. */
export function authStateOf(auth: EtcdAuthOptions | undefined): AuthState {
  return { users: auth, enabled: false }
}
