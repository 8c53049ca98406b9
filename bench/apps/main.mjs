// An app in a process of its own: `node main.mjs express with`; `without`, and `empty` for a middleware that does nothing. Its parent asks over IPC, and ends it.
import { monitorEventLoopDelay } from 'node:perf_hooks'

const [framework, how] = process.argv.slice(2)
const { listen } = await import(`./${framework}.mjs`)
const server = await listen(how)
const listening = performance.now()
const { user, system } = process.cpuUsage()
const delay = monitorEventLoopDelay({ resolution: 1 })
delay.enable()

process.send({ listening, cpu: (user + system) / 1000, port: server.address().port })
process.on('message', () => {
  delay.disable() // it costs CPU itself
  process.send({ cpu: process.cpuUsage(), longestPause: delay.max / 1e6 })
})
process.on('disconnect', () => process.exit())
