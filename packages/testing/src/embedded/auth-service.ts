import type { Backend } from './backend.ts'
import { type Service, service, type Unary } from './rpc.ts'
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

  /** A method that goes through etcd's log and that only root may use. */
  // biome-ignore lint/suspicious/noExplicitAny: proto-loader's messages have no types
  function byRoot(carryOut: (request: any) => unknown): Unary {
    return (request, access) => {
      access.propose()
      access.administer()
      return answer(carryOut(request) as object | undefined)
    }
  }

  return service('etcdserverpb.Auth', traffic, backend, {
    unary: {
      Authenticate({ name = '', password = '' }: Named, access) {
        const token = auth().authenticate(name, password)
        if (!backend().rules.ignoresTokensOfLogins) access.propose()
        return answer({ token })
      },
      AuthStatus(_, access) {
        access.propose()
        if (backend().rules.guardsAuthStatus) access.administer()
        return answer({ enabled: auth().enabled, authRevision: auth().revision })
      },
      AuthEnable: byRoot(() => auth().enable()),
      AuthDisable: byRoot(() => auth().disable()),
      UserAdd: byRoot(
        ({ name = '', password = '', options }: Named & { options?: { no_password?: boolean } }) =>
          auth().addUser(name, options?.no_password ? undefined : password),
      ),
      UserDelete: byRoot(({ name = '' }: Named) => auth().deleteUser(name)),
      UserChangePassword: byRoot(({ name = '', password = '' }: Named) =>
        auth().changePassword(name, password),
      ),
      UserList: byRoot(() => ({ users: auth().userNames() })),
      UserGet({ name = '' }: Named, access) {
        access.propose()
        if (access.user() !== name) access.administer()
        return answer({ roles: auth().rolesOf(name) })
      },
      UserGrantRole: byRoot(({ user = '', role = '' }: Named) => auth().grantRole(user, role)),
      UserRevokeRole: byRoot(({ name = '', role = '' }: Named) => auth().revokeRole(name, role)),
      RoleAdd: byRoot(({ name = '' }: Named) => auth().addRole(name)),
      RoleDelete: byRoot(({ role = '' }: Named) => auth().deleteRole(role)),
      RoleList: byRoot(() => ({ roles: auth().roleNames() })),
      RoleGet({ role = '' }: Named, access) {
        access.propose()
        const user = access.user()
        if (user === undefined || !auth().hasRole(user, role)) access.administer()
        return answer({ perm: auth().permissionsOf(role) })
      },
      RoleGrantPermission: byRoot(({ name = '', perm }: Named & { perm?: Range & { permType?: number } }) =>
        auth().grantPermission(name, perm && { permType: perm.permType ?? 0, ...rangeOf(perm) }),
      ),
      RoleRevokePermission: byRoot(({ role = '', ...range }: Named & Range) =>
        auth().revokePermission(role, rangeOf(range)),
      ),
    },
  })
}
