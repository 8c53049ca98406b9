import { accessSync, constants, statSync } from 'node:fs'
import { basename, delimiter, dirname, join } from 'node:path'

/** Path of the etcd to run: the option, else `ETCD_BIN`, else the first one on PATH. */
export function findEtcd(option: string | undefined): string {
  const asked = option ?? process.env.ETCD_BIN
  const candidates = asked ? [asked] : onPath('etcd')
  const found = firstExecutable(candidates)
  if (found !== undefined) return found
  const missing = asked ? `${asked} is not an executable file` : 'No etcd binary on PATH'
  throw new Error(
    `${forbidden(candidates) ?? missing}. ` +
      'Install one (Debian and Ubuntu: apt-get install etcd-server; macOS: brew install etcd; in a checkout ' +
      'of etcd-register: scripts/ensure-etcd) or set ETCD_BIN to the path of an etcd binary.',
  )
}

/** Path of etcdctl: next to a given etcd, else on PATH. */
export function findEtcdctl(etcd?: string): string {
  return findTool('etcdctl', 'Install one (Debian and Ubuntu: apt-get install etcd-client).', etcd)
}

/** Path of etcdutl, which etcd has since 3.5: next to a given etcd, else on PATH. */
export function findEtcdutl(etcd: string): string {
  return findTool('etcdutl', 'It is part of the releases of etcd 3.5 and newer.', etcd)
}

/** Next to `etcd-3.6.16` it may be called `etcdutl-3.6.16`. */
function findTool(name: string, advice: string, etcd: string | undefined): string {
  const names = etcd === undefined ? [] : [basename(etcd).replace(/^etcd/, name), name]
  const candidates = [...names.map(file => join(dirname(etcd!), file)), ...onPath(name)]
  const found = firstExecutable(candidates)
  if (found !== undefined) return found
  throw new Error(`${forbidden(candidates) ?? `No ${name} next to etcd or on PATH`}. ${advice}`)
}

/** The environment without etcd's own variables: etcd and etcdctl read every flag from there too. */
export function cleanEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^ETCD(CTL)?_/.test(name)))
}

function onPath(name: string): string[] {
  const folders = (process.env.PATH ?? '').split(delimiter).filter(folder => folder !== '')
  return folders.map(folder => join(folder, name))
}

const firstExecutable = (paths: string[]) => paths.find(path => lookAt(path) === 'executable')

/** What Node's permission model forbade to look at: whether it is there is not known. */
function forbidden(paths: string[]): string | undefined {
  const unread = paths.filter(path => lookAt(path) === 'forbidden')
  return unread.length > 0 ? `${unread.join(', ')} could not be read: ERR_ACCESS_DENIED` : undefined
}

function lookAt(path: string): 'executable' | 'forbidden' | 'none' {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile() ? 'executable' : 'none'
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ERR_ACCESS_DENIED' ? 'forbidden' : 'none'
  }
}
