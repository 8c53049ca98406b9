import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { homedir } from 'node:os'
import { basename, dirname, join } from 'node:path'

/** Longer than anything here takes to make. */
const abandonedAfter = 60 * 60 * 1000

/**
 * The path of the folder `name` in the cache of this project, which is outside the repository. Where it does not exist
 * yet, `make` gets an empty folder to fill. That one is renamed at the end, so an interrupted run never leaves half a
 * folder, and of two runs at the same time the second takes what the first one made.
 */
export function cachedFolder(name, make) {
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache')
  const folder = join(cache, 'etcd-register', name)
  if (existsSync(folder)) return folder
  mkdirSync(dirname(folder), { recursive: true })
  removeAbandoned(folder)
  const unfinished = mkdtempSync(unfinishedPrefix(folder))
  try {
    make(unfinished)
    renameSync(unfinished, folder)
  } catch (error) {
    if (!existsSync(folder)) throw error
  } finally {
    rmSync(unfinished, { recursive: true, force: true })
  }
  return folder
}

function unfinishedPrefix(folder) {
  return `${folder}.unfinished-`
}

/** Removes what runs have left that were killed. */
function removeAbandoned(folder) {
  const prefix = basename(unfinishedPrefix(folder))
  for (const name of readdirSync(dirname(folder)).filter(name => name.startsWith(prefix))) {
    const path = join(dirname(folder), name)
    const age = Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now())
    if (age > abandonedAfter) rmSync(path, { recursive: true, force: true })
  }
}
