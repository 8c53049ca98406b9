import { status } from '@grpc/grpc-js'
import { type Access, everything } from './access.ts'
import { EtcdError, refused } from './errors.ts'
import { byKey, grants, type Permission } from './permissions.ts'
import type { Tokens } from './tokens.ts'

const ROOT = 'root'

const NO_PASSWORD = 'auth: authentication failed, password was given for no password user'

interface User {
  password: string | undefined
  readonly roles: Set<string>
}

/** Users, roles and what they may do. Everything is allowed until it is enabled. */
export class AuthStore {
  readonly tokens: Tokens
  readonly #users = new Map<string, User>()
  readonly #roles = new Map<string, Permission[]>()
  #enabled = false
  #revision = 1

  constructor(tokens: Tokens) {
    this.tokens = tokens
  }

  get enabled(): boolean {
    return this.#enabled
  }

  /** Grows with each change. */
  get revision(): number {
    return this.#revision
  }

  enable(): void {
    const root = this.#users.get(ROOT)
    if (root === undefined) throw refused('rootUserNotExist')
    if (!root.roles.has(ROOT)) throw refused('rootRoleNotExist')
    this.#enabled = true
    this.#changed()
  }

  disable(): void {
    this.#enabled = false
    this.tokens.expire()
    this.#changed()
  }

  authenticate(name: string, password: string): string {
    if (!this.#enabled) throw refused('authNotEnabled')
    const user = this.#users.get(name)
    if (user === undefined) throw refused('authFailed')
    if (user.password === undefined) throw new EtcdError(status.UNKNOWN, NO_PASSWORD)
    if (user.password !== password) throw refused('authFailed')
    return this.tokens.assign(name)
  }

  /** What the bearer of a token may do; without a token, whatever needs no user. */
  accessOf(token: string | undefined): Access {
    if (token === undefined) return this.#enabled ? anonymous : everything
    // also while it is disabled, and then there is no valid one
    const name = this.tokens.userOf(token)
    if (name === undefined) throw refused('invalidAuthToken')
    return this.accessOfUser(name)
  }

  accessOfUser(name: string): Access {
    const user = this.#users.get(name)
    if (!this.#enabled || user?.roles.has(ROOT)) return { ...everything, user: name }
    const deny = () => {
      throw refused('permissionDenied')
    }
    const permissions = [...(user?.roles ?? [])].flatMap(role => this.#roles.get(role) ?? [])
    const mayRead = grants(permissions, 'read')
    const mayWrite = grants(permissions, 'write')
    return {
      user: name,
      read: range => mayRead(range) || deny(),
      write: range => mayWrite(range) || deny(),
      administer: deny,
    }
  }

  addUser(name: string, password: string | undefined): void {
    if (name === '') throw refused('userEmpty')
    if (this.#users.has(name)) throw refused('userExists')
    this.#users.set(name, { password, roles: new Set() })
    this.#changed()
  }

  deleteUser(name: string): void {
    if (this.#enabled && name === ROOT) throw refused('invalidAuthManagement')
    if (!this.#users.delete(name)) throw refused('userNotFound')
    this.tokens.expire(name)
    this.#changed()
  }

  changePassword(name: string, password: string): void {
    this.#user(name).password = password
    this.tokens.expire(name)
    this.#changed()
  }

  userNames(): string[] {
    return [...this.#users.keys()].sort()
  }

  rolesOf(name: string): string[] {
    return [...this.#user(name).roles].sort()
  }

  grantRole(name: string, role: string): void {
    const { roles } = this.#user(name)
    if (role !== ROOT && !this.#roles.has(role)) throw refused('roleNotFound')
    roles.add(role)
    this.#changed()
  }

  revokeRole(name: string, role: string): void {
    if (this.#enabled && name === ROOT && role === ROOT) throw refused('invalidAuthManagement')
    if (!this.#user(name).roles.delete(role)) throw refused('roleNotGranted')
    this.#changed()
  }

  addRole(name: string): void {
    if (name === '') throw refused('roleEmpty')
    if (this.#roles.has(name)) throw refused('roleExists')
    this.#roles.set(name, [])
    this.#changed()
  }

  deleteRole(name: string): void {
    if (this.#enabled && name === ROOT) throw refused('invalidAuthManagement')
    if (!this.#roles.delete(name)) throw refused('roleNotFound')
    for (const { roles } of this.#users.values()) roles.delete(name)
    this.#changed()
  }

  roleNames(): string[] {
    return [...this.#roles.keys()].sort()
  }

  permissionsOf(role: string): Permission[] {
    const permissions = this.#roles.get(role)
    if (permissions === undefined) throw refused('roleNotFound')
    return permissions
  }

  grantPermission(role: string, permission: Permission): void {
    const others = this.permissionsOf(role).filter(other => !sameRange(other, permission))
    this.#roles.set(role, [...others, permission].sort(byKey))
    this.#changed()
  }

  revokePermission(role: string, range: Pick<Permission, 'key' | 'range_end'>): void {
    const permissions = this.permissionsOf(role)
    const kept = permissions.filter(permission => !sameRange(permission, range))
    if (kept.length === permissions.length) throw refused('permissionNotGranted')
    this.#roles.set(role, kept)
    this.#changed()
  }

  #user(name: string): User {
    const user = this.#users.get(name)
    if (user === undefined) throw refused('userNotFound')
    return user
  }

  #changed(): void {
    this.#revision += 1
  }
}

const noUser = () => {
  throw refused('userEmpty')
}

const anonymous: Access = { user: undefined, read: noUser, write: noUser, administer: noUser }

type Range = Pick<Permission, 'key' | 'range_end'>

const sameRange = (a: Range, b: Range) => a.key.equals(b.key) && a.range_end.equals(b.range_end)
