// Whether npm has a version of a package.
import { spawnSync } from 'node:child_process'

/** Throws where npm cannot tell. */
export function isPublished({ name, version }) {
  const { status, stdout, stderr } = spawnSync('npm', ['view', `${name}@${version}`, 'version', '--json'], {
    encoding: 'utf8',
  })
  if (status === 0) return stdout.trim() !== ''
  if (/\bE404\b/.test(`${stdout}${stderr}`)) return false
  throw new Error(`npm view ${name}@${version} failed:\n${stderr}`)
}
