import { readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { invalidOption } from './errors.ts'

/** `SERVICE_NAME`, else the name in the nearest package.json without its scope. Throws `ERR_INVALID_OPTION` if there is none. */
export function defaultServiceName(
  env: NodeJS.ProcessEnv = process.env,
  script: string | undefined = process.argv[1],
): string {
  if (env.SERVICE_NAME) return env.SERVICE_NAME
  const starts = [...(script === undefined ? [] : [dirname(resolve(script))]), process.cwd()]
  for (const start of starts) {
    for (let folder = start, up = dirname(start); ; folder = up, up = dirname(up)) {
      const name = packageName(join(folder, 'package.json'))
      if (name !== undefined) return name.replace(/^@[^/]*\//, '')
      if (folder === up) break
    }
  }
  throw invalidOption(
    'name',
    'given, or in SERVICE_NAME, or the "name" in the nearest package.json',
    undefined,
  )
}

function packageName(file: string): string | undefined {
  try {
    const { name } = JSON.parse(readFileSync(file, 'utf8')) as { name?: unknown }
    return typeof name === 'string' && name !== '' ? name : undefined
  } catch {
    return undefined
  }
}
