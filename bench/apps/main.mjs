// An app in a process of its own: `node main.mjs express with`; `without`, and `empty` for a middleware that does nothing. Its parent asks over IPC, and ends it.
import { watchPauses } from '../pauses.mjs'

const [framework, how] = process.argv.slice(2)
const { listen } = await import(`./${framework}.mjs`)
const server = await listen(how)
const listening = performance.now()
const { user, system } = process.cpuUsage()
const pauses = watchPauses()

process.send({ listening, cpu: (user + system) / 1000, port: server.address().port })
process.on('message', () => {
  pauses.end() // it costs CPU itself
  process.send({ cpu: process.cpuUsage(), longestPause: pauses.longest })
})
process.on('disconnect', () => process.exit())
