// How long an app takes from the start of its process until it listens, with the adapter and without, in turns; and
// what loading etcd3 costs, which begins once it listens. usage: node bench/import-until-listen.mjs [pairs]
import { execFileSync } from 'node:child_process'
import { setTimeout as pause } from 'node:timers/promises'
import { startEtcdBinary } from '@etcd-register/testing'
import { startApp } from './app.mjs'
import { spread } from './statistics.mjs'

const pairs = Number(process.argv[2] ?? 25)
/** How long to look for pauses: until etcd3 is loaded on a busy machine as well. */
const after = 1000

const differences = ({ with: some, without }) => some.map((value, i) => value - without[i])

const etcd = await startEtcdBinary()
try {
  const rows = {}
  for (const framework of ['express', 'koa', 'nest']) {
    const listening = { with: [], without: [] }
    const cpu = { with: [], without: [] }
    const pauses = { with: [], without: [] }
    // The first pair only fills the file system's cache.
    for (let i = 0; i <= pairs; i++) {
      for (const how of i % 2 ? ['with', 'without'] : ['without', 'with']) {
        const app = await startApp(framework, how, etcd)
        // A pause takes its time, so it is looked for in a few of them.
        if (i > 0 && i <= 5) {
          await pause(after)
          pauses[how].push((await app.usage()).longestPause)
        }
        await app.stop()
        if (i === 0) continue
        listening[how].push(app.listening)
        cpu[how].push(app.cpu)
      }
    }
    rows[framework] = {
      'without, ms': spread(listening.without),
      'with, ms': spread(listening.with),
      'more in each pair, ms': spread(differences(listening), 1),
      'more CPU in each pair, ms': spread(differences(cpu), 1),
      'longest pause without, ms': spread(pauses.without),
      'longest pause with, ms': spread(pauses.with),
    }
  }
  console.log(
    `Process start until listening, ${pairs} pairs each; median (middle half); Node ${process.version}`,
  )
  console.table(rows)

  const load = `const t = performance.now(); await import('etcd3'); console.log(performance.now() - t)`
  const cwd = new URL('../packages/core', import.meta.url)
  const loads = Array.from({ length: 10 }, () =>
    Number(execFileSync(process.execPath, ['--input-type=module', '-e', load], { cwd })),
  )
  console.log(`import('etcd3') alone: ${spread(loads)} ms`)
} finally {
  await etcd.stop()
}
