// Asks a port on this machine for `requests` answers over ten connections that are kept alive: node load.mjs <port> <requests>
import { Agent, get } from 'node:http'

const [port, requests] = process.argv.slice(2).map(Number)
const connections = 10
const agent = new Agent({ keepAlive: true, maxSockets: connections })
let left = requests

const ask = () =>
  new Promise((resolve, reject) => {
    get({ port, host: '127.0.0.1', agent }, response => {
      if (response.statusCode !== 200) reject(new Error(`status ${response.statusCode}`))
      response.resume().on('end', resolve)
    }).on('error', reject)
  })

await Promise.all(
  Array.from({ length: connections }, async () => {
    while (left-- > 0) await ask()
  }),
)
agent.destroy()
