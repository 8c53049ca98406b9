import { status } from '@grpc/grpc-js'
import type { Access } from './access.ts'
import { EtcdError, refused } from './errors.ts'
import type { KeyRange } from './key-range.ts'
import { byKey, grants, isRange, type Permission } from './permissions.ts'
import type { Tokens } from './tokens.ts'
import type { Rules } from './version.ts'

const ROOT = 'root'

const NO_PASSWORD = 'auth: authentication failed, password was given for no password user'

interface User {
  password: string | undefined
  readonly roles: Set<string>
}

/** How somebody says who it is: with a token, or else the name in its certificate. */
export interface Caller {
  readonly token: string | undefined
  readonly certified: string | undefined
}

/** Users, roles and what they may do. Everything is allowed until it is enabled. */
export class AuthStore {
  readonly tokens: Tokens
  readonly #rules: Rules
  readonly #users = new Map<string, User>()
  readonly #roles = new Map<string, Permission[]>()
  #enabled = false
  #revision = 1

  constructor(rules: Rules, tokens: Tokens) {
    this.#rules = rules
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
    if (this.#enabled) return
    const root = this.#users.get(ROOT)
    if (root === undefined) throw refused('rootUserNotExist')
    if (!root.roles.has(ROOT)) throw refused('rootRoleNotExist')
    this.#enabled = true
  }

  disable(): void {
    if (!this.#enabled) return
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

  /** What a caller may do at this moment. */
  accessOf(caller: Caller, isTooLarge: boolean): Access {
    const user = () => this.#userOf(caller)
    const somebody = () => {
      const name = user()
      if (name === undefined && this.#enabled) throw refused('userEmpty')
      return name
    }
    const needs = (kind: 'read' | 'write') => (range: KeyRange) => {
      const name = somebody()
      if (this.#mayAll(name)) return
      if (!grants(this.#permissionsOfUser(name), kind)(range)) throw refused('permissionDenied')
    }
    return {
      user,
      beSomebody: () => void somebody(),
      propose() {
        user()
        if (isTooLarge) throw refused('tooLarge')
      },
      read: needs('read'),
      write: needs('write'),
      administer: () => {
        if (!this.#mayAll(somebody())) throw refused('permissionDenied')
      },
    }
  }

  /** Refuses a token that is none. */
  #userOf({ token, certified }: Caller): string | undefined {
    if (token === undefined) return this.#enabled ? certified : undefined
    // otherwise also while it is off, and then there is no valid one
    if (!this.#enabled && this.#rules.ignoresTokensWithoutAuth) return undefined
    const name = this.tokens.userOf(token)
    if (name === undefined) throw refused('invalidAuthToken')
    return name
  }

  #mayAll(name: string | undefined): boolean {
    return !this.#enabled || (name !== undefined && this.#users.get(name)?.roles.has(ROOT) === true)
  }

  #permissionsOfUser(name: string | undefined): Permission[] {
    const roles = name === undefined ? undefined : this.#users.get(name)?.roles
    return [...(roles ?? [])].flatMap(role => this.#roles.get(role) ?? [])
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

  hasRole(name: string, role: string): boolean {
    return this.#users.get(name)?.roles.has(role) === true
  }

  grantRole(name: string, role: string): void {
    const { roles } = this.#user(name)
    if (role !== ROOT && !this.#roles.has(role)) throw refused('roleNotFound')
    if (roles.has(role)) return
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

  grantPermission(role: string, permission: Permission | undefined): void {
    if (this.#rules.checksPermissions) {
      if (permission === undefined) throw refused('permissionNotGiven')
      if (!isRange(permission)) throw refused('invalidAuthManagement')
    }
    permission ??= NO_PERMISSION
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

const NO_PERMISSION: Permission = { permType: 0, key: Buffer.alloc(0), range_end: Buffer.alloc(0) }

type Range = Pick<Permission, 'key' | 'range_end'>

const sameRange = (a: Range, b: Range) => a.key.equals(b.key) && a.range_end.equals(b.range_end)
