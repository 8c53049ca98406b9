import { keysOf, startChild, watchRoll } from 'adapter-contract'
import { expect, test } from 'vitest'
import { useEtcd } from './support/etcd.ts'
import { major, project } from './support/installed.ts'

const etcd = useEtcd()

test.each<[string, NodeJS.Signals, number]>([
  ['express', 'SIGTERM', 143],
  ['fastify', 'SIGTERM', 143],
  ['fastify', 'SIGINT', 130],
])(
  `nest ${major} on %s with enableShutdownHooks(): %s takes it off the roll, databases stay open until the last answer, exit status %i`,
  async (platform, signal, status) => {
    const name = `hooked-${platform}-${signal.toLowerCase()}`
    const roll = await watchRoll(etcd.member(), name)
    const child = await startChild(
      { ...project(), name },
      { framework: '@nestjs/core', options: etcd.options(name), platform, hooks: true },
    )
    await roll.toHavePorts(child.port)
    const answer = fetch(`http://127.0.0.1:${child.port}/slow`)
    await child.slow
    child.kill(signal)
    await roll.toHavePorts()
    child.tell()
    expect(await (await answer).text()).toBe('slow')
    expect(await child.ended).toEqual({ status, output: '' })
    expect(await keysOf(etcd.member(), name)).toEqual([])
  },
)
