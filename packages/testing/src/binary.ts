import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'

/** Path of the etcd to run: the option, else `ETCD_BIN`, else the first one on PATH. */
export function findEtcd(option: string | undefined): string {
  const asked = option ?? process.env.ETCD_BIN
  const found = asked === undefined || asked === '' ? onPath('etcd') : executable(asked)
  if (found !== undefined) return found
  throw new Error(
    `${asked ? `${asked} is not an executable file` : 'No etcd binary on PATH'}. ` +
      'Install one (Debian and Ubuntu: apt-get install etcd-server; macOS: brew install etcd; in a checkout ' +
      'of etcd-register: scripts/ensure-etcd) or set ETCD_BIN to the path of an etcd binary.',
  )
}

/** Path of etcdctl: next to a given etcd, else on PATH. */
export function findEtcdctl(etcd?: string): string {
  const beside = etcd === undefined ? undefined : executable(join(dirname(etcd), 'etcdctl'))
  const found = beside ?? onPath('etcdctl')
  if (found !== undefined) return found
  throw new Error(
    'No etcdctl next to etcd or on PATH. Install one (Debian and Ubuntu: apt-get install etcd-client).',
  )
}

/** The environment without etcd's own variables: etcd and etcdctl read every flag from there too. */
export function cleanEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^ETCD(CTL)?_/.test(name)))
}

function onPath(name: string): string | undefined {
  const folders = (process.env.PATH ?? '').split(delimiter).filter(folder => folder !== '')
  return folders.map(folder => executable(join(folder, name))).find(path => path !== undefined)
}

function executable(path: string): string | undefined {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile() ? path : undefined
  } catch {
    return undefined
  }
}
