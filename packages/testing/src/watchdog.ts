import { spawn } from 'node:child_process'
import { accessSync, constants, mkdtempSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A temporary folder that is removed, with the process its `pid` file names, when we release it or die. */
export interface GuardedFolder {
  readonly path: string
  readonly pidFile: string
  /** Kills the process and removes the folder. Resolves when both are gone. */
  release(): Promise<void>
}

// Reads a pipe whose other end only we hold, so it learns of our end however we end. The folder is renamed
// first: a process that has not written its pid file by then can no longer do so, and does not start.
const script = `
trap '' HUP INT TERM
read -r end
mv "$1" "$1.gone" 2>/dev/null || exit 0
if [ -e "$1.gone/pid" ]; then
  for try in 1 2 3 4 5 6 7 8 9; do read -r pid < "$1.gone/pid" && break; sleep 0.02; done
  [ -n "$pid" ] && kill -9 "$pid" 2>/dev/null
fi
for try in 1 2 3 4 5 6 7 8 9; do rm -rf "$1.gone" 2>/dev/null && break; sleep 0.02; done
`

/** Makes a temporary folder and starts the small shell that watches over it. */
export function guardFolder(): GuardedFolder {
  const path = mkdtempSync(join(fastFolder() ?? tmpdir(), 'etcd-register-'))
  const watchdog = spawn('/bin/sh', ['-c', script, 'etcd-watchdog', path], {
    cwd: '/',
    detached: true, // a session of its own: ctrl-C in the terminal is for the test process
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  const gone = new Promise<void>((resolve, reject) =>
    watchdog.once('exit', () => resolve()).once('error', reject),
  )
  gone.catch(() => {})
  watchdog.unref()
  const pipe = watchdog.stdin
  pipe.on('error', () => {})
  if ('unref' in pipe && typeof pipe.unref === 'function') pipe.unref()

  return {
    path,
    pidFile: join(path, 'pid'),
    release() {
      watchdog.ref()
      pipe.end()
      return gone
    },
  }
}

/** Memory instead of disk, if there is enough of it: etcd allocates 64 MB files ahead of need. */
function fastFolder(): string | undefined {
  try {
    accessSync('/dev/shm', constants.W_OK)
    const { bavail, bsize } = statfsSync('/dev/shm')
    return bavail * bsize >= 1024 ** 3 ? '/dev/shm' : undefined
  } catch {
    return undefined
  }
}
