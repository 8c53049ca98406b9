// The embedded etcd beside a real one, with the same client in the same run: node bench/embedded.mjs [--json]
import { parseArgs } from 'node:util'
import { startEtcd, startEtcdBinary } from '@etcd-register/testing'
import { Etcd3 } from 'etcd3'

const { values: options } = parseArgs({
  options: { json: { type: 'boolean' }, rounds: { type: 'string', default: '3' } },
})
const EVENTS = 1000
const PUTS = 5000
const ABREAST = 64
const KEYS = 100_000

const median = numbers => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)]

/** Milliseconds from a put to its event, one at a time. */
async function putToEvent(client) {
  const times = []
  let arrive = () => {}
  const watcher = await client.watch().prefix('event/').create()
  watcher.on('put', () => arrive(performance.now()))
  for (let index = 0; index < EVENTS; index++) {
    const arrived = new Promise(resolve => {
      arrive = resolve
    })
    const start = performance.now()
    const put = client
      .put(`event/${index % 10}`)
      .value('x'.repeat(200))
      .exec()
    times.push((await arrived) - start)
    await put
  }
  await watcher.cancel()
  return median(times)
}

async function putsPerSecond(client) {
  let left = PUTS
  const start = performance.now()
  const worker = async () => {
    while (left-- > 0)
      await client
        .put(`put/${left % 1000}`)
        .value('x'.repeat(200))
        .exec()
  }
  await Promise.all(Array.from({ length: ABREAST }, worker))
  return (PUTS / (performance.now() - start)) * 1000
}

/** Milliseconds of one delete of many keys. */
async function deleteMany(client) {
  for (let at = 0; at < KEYS; at += 128 * 50) {
    const batches = Array.from({ length: 50 }, (_, batch) => at + batch * 128).filter(first => first < KEYS)
    await Promise.all(
      batches.map(first => {
        const puts = Array.from({ length: Math.min(128, KEYS - first) }, (_, index) =>
          client.put(`many/${first + index}`).value('x'),
        )
        return client
          .if('none', 'Version', '==', 0)
          .then(...puts)
          .commit()
      }),
    )
  }
  const start = performance.now()
  await client.delete().prefix('many/').exec()
  return performance.now() - start
}

const starts = { embedded: startEtcd, etcd: startEtcdBinary }
const results = { embedded: [], etcd: [] }
for (let round = 0; round < Number(options.rounds); round++) {
  for (const [name, start] of Object.entries(starts)) {
    const began = performance.now()
    const etcd = await start()
    const started = performance.now() - began
    const client = new Etcd3({ hosts: etcd.endpoint })
    await client.put('warm').value('up').exec()
    const result = {
      startMs: started,
      putToEventMs: await putToEvent(client),
      putsPerSecond: await putsPerSecond(client),
      deleteMs: await deleteMany(client),
    }
    client.close()
    await etcd.stop()
    results[name].push(result)
  }
}

const report = {}
for (const key of Object.keys(results.etcd[0])) {
  const [embedded, etcd] = ['embedded', 'etcd'].map(name => median(results[name].map(result => result[key])))
  report[key] = { embedded: round(embedded), etcd: round(etcd), ratio: round(embedded / etcd) }
}
if (options.json) console.log(JSON.stringify(report))
else console.table(report)

function round(number) {
  return Math.round(number * 100) / 100
}
