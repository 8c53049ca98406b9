import { readFileSync } from 'node:fs'
import { dirname } from 'node:path'

/** The temporary folder of a running etcd, from its command line. */
export function folderOf(pid: number): string {
  const args = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
  return dirname(args[args.indexOf('--data-dir') + 1]!)
}

/** Whether a process lives; a zombie that nobody has waited for does not. */
export function isAlive(pid: number): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}
