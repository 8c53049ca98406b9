import { EtcdRegisterError } from '../support/errors.ts'

/** Of Node's permission model, which `--permission` turns on. */
interface Permission {
  has(scope: string): boolean
}

/** Whether this process may connect at all. Versions of Node without `--allow-net` do not restrict that. */
export function mayConnect(): boolean {
  const { permission } = process as { permission?: Permission }
  if (permission === undefined || !process.allowedNodeEnvironmentFlags.has('--allow-net')) return true
  return permission.has('net')
}

/** gRPC would say it of an address only, and of a name that it cannot be resolved. */
export function forbiddenNetwork(where: string): EtcdRegisterError {
  const why = "Node's permission model forbids this process to use the network (ERR_ACCESS_DENIED)"
  return new EtcdRegisterError(
    'ERR_ETCD_CLIENT',
    `No connection to etcd at ${where}: ${why}. Start it with --allow-net.`,
  )
}
