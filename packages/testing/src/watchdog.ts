import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { accessSync, constants, mkdirSync, statfsSync } from 'node:fs'
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
// first: a process that has not written its pid file by then can no longer do so, and does not start. One that
// runs may make its folder anew until it is dead, so both names are removed.
const script = `
trap '' HUP INT TERM
read -r end
mv "$1" "$1.gone" 2>/dev/null || exit 0
tries='1 2 3 4 5 6 7 8 9'
if [ -e "$1.gone/pid" ]; then
  for try in $tries; do read -r pid < "$1.gone/pid" && break; sleep 0.02; done
  [ -n "$pid" ] && kill -9 "$pid" 2>/dev/null
  for try in $tries; do kill -0 "$pid" 2>/dev/null || break; sleep 0.02; done
fi
for try in $tries; do rm -rf "$1.gone" "$1" 2>/dev/null && break; sleep 0.02; done
`

/** Starts a small shell that watches over a temporary folder, then makes the folder. */
export function guardFolder(): GuardedFolder {
  const path = join(fastFolder() ?? tmpdir(), `etcd-register-${randomBytes(8).toString('hex')}`)
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
  mkdirSync(path, { mode: 0o700 })

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
