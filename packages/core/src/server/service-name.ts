import { readFileSync, realpathSync } from 'node:fs'
import { dirname, join, resolve, sep } from 'node:path'
import { refusedOption } from '../etcd/support/errors.ts'
import { shown } from '../etcd/support/text.ts'
import { validateName } from '../instance/service-options.ts'

/**
 * `SERVICE_NAME`, else the name in the nearest package.json without its scope: from the main module, from the script that
 * PM2 was given, from the file that `nx serve` runs, and from the working directory, which is the workspace under Nx. A
 * launcher such as PM2, Jest or nx is a main module, too, so nothing inside `node_modules` counts. Throws
 * `ERR_INVALID_OPTION`.
 */
export function defaultServiceName(
  env: NodeJS.ProcessEnv = process.env,
  script: string | undefined = process.argv[1],
  folder: string = process.cwd(),
): string {
  if (env.SERVICE_NAME) return valid(env.SERVICE_NAME, 'SERVICE_NAME')
  let unread = ''
  for (const start of [script, env.pm_exec_path, env.NX_FILE_TO_RUN, folder]) {
    if (!start) continue
    const place = realPath(resolve(folder, start))
    if (place.split(sep).includes('node_modules')) continue
    // A script may be a folder as well: `node .`
    for (let at = place, up = dirname(at); ; at = up, up = dirname(up)) {
      const file = join(at, 'package.json')
      const { name, failure } = packageName(file)
      if (name !== undefined) return valid(name.replace(/^@[^/]*\//, ''), file)
      const isScript = at === place && start !== folder
      if (failure !== undefined && !isScript) unread ||= `; ${shown(file)} could not be read: ${failure}`
      if (at === up) break
    }
  }
  const rule =
    'given, or in the environment variable SERVICE_NAME, or the "name" in the package.json of the app: none was found above the main module or the working directory, outside of node_modules'
  throw refusedOption('name', `${rule}${unread}`)
}

/** Without symbolic links: the commands in `.bin` and in the folders of the `PATH` are some. */
function realPath(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    return path
  }
}

function valid(name: string, source: string): string {
  validateName(name, source)
  return name
}

/** `failure`: the code of what forbade to read a file, as Node's permission model does. */
function packageName(file: string): { name?: string; failure?: string } {
  try {
    const { name } = JSON.parse(readFileSync(file, 'utf8')) as { name?: unknown }
    return typeof name === 'string' && name !== '' ? { name } : {}
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    return code === 'ERR_ACCESS_DENIED' || code === 'EACCES' ? { failure: code } : {}
  }
}
