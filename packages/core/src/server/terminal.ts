import { readFileSync } from 'node:fs'
import { isatty } from 'node:tty'

/** Whether Ctrl-C at a terminal reaches this process: it is in the foreground there. */
export function isInForeground(): boolean {
  if (!isatty(0) && !isatty(1)) return false
  try {
    const stat = readFileSync('/proc/self/stat', 'utf8')
    // After the name, which may hold anything: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
    const [, , group, , , foreground] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return group === foreground
  } catch {
    // Other systems do not tell.
    return true
  }
}
