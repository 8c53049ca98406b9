import type { Backend } from './backend.ts'
import { type Service, service } from './rpc.ts'
import type { Traffic } from './traffic.ts'

const EMPTY = Buffer.alloc(0)

interface Named {
  name?: string
  password?: string
  user?: string
  role?: string
}

interface Range {
  key?: Buffer
  range_end?: Buffer
}

const rangeOf = ({ key = EMPTY, range_end = EMPTY }: Range) => ({ key, range_end })

export function authService(backend: () => Backend, traffic: Traffic): Service {
  const auth = () => backend().auth
  const answer = (body: object = {}) => ({ header: backend().header(), ...body })
  return service('Auth', traffic, backend, {
    Authenticate: ({ name = '', password = '' }: Named) =>
      answer({ token: auth().authenticate(name, password) }),
    AuthStatus: (_, { administer }) => {
      administer()
      return answer({ enabled: auth().enabled, authRevision: auth().revision })
    },
    AuthEnable: (_, { administer }) => {
      administer()
      auth().enable()
      return answer()
    },
    AuthDisable: (_, { administer }) => {
      administer()
      auth().disable()
      return answer()
    },
    UserAdd: (
      { name = '', password = '', options }: Named & { options?: { no_password?: boolean } },
      access,
    ) => {
      access.administer()
      auth().addUser(name, options?.no_password ? undefined : password)
      return answer()
    },
    UserDelete: ({ name = '' }: Named, { administer }) => {
      administer()
      auth().deleteUser(name)
      return answer()
    },
    UserChangePassword: ({ name = '', password = '' }: Named, { administer }) => {
      administer()
      auth().changePassword(name, password)
      return answer()
    },
    UserList: (_, { administer }) => {
      administer()
      return answer({ users: auth().userNames() })
    },
    UserGet: ({ name = '' }: Named, { administer, user }) => {
      if (user !== name) administer()
      return answer({ roles: auth().rolesOf(name) })
    },
    UserGrantRole: ({ user = '', role = '' }: Named, { administer }) => {
      administer()
      auth().grantRole(user, role)
      return answer()
    },
    UserRevokeRole: ({ name = '', role = '' }: Named, { administer }) => {
      administer()
      auth().revokeRole(name, role)
      return answer()
    },
    RoleAdd: ({ name = '' }: Named, { administer }) => {
      administer()
      auth().addRole(name)
      return answer()
    },
    RoleDelete: ({ role = '' }: Named, { administer }) => {
      administer()
      auth().deleteRole(role)
      return answer()
    },
    RoleList: (_, { administer }) => {
      administer()
      return answer({ roles: auth().roleNames() })
    },
    RoleGet: ({ role = '' }: Named, { administer, user }) => {
      if (user === undefined || !auth().rolesOf(user).includes(role)) administer()
      return answer({ perm: auth().permissionsOf(role) })
    },
    RoleGrantPermission: ({ name = '', perm }: Named & { perm?: Range & { permType?: number } }, access) => {
      access.administer()
      auth().grantPermission(name, { permType: perm?.permType ?? 0, ...rangeOf(perm ?? {}) })
      return answer()
    },
    RoleRevokePermission: ({ role = '', key, range_end }: Named & Range, { administer }) => {
      administer()
      auth().revokePermission(role, { key: key ?? EMPTY, range_end: range_end ?? EMPTY })
      return answer()
    },
  })
}
