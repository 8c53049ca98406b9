import type { EtcdMember, FaultDirection, FaultProxy } from '@etcd-register/testing'
import type { Chance } from './seeded-chance.ts'

type Step = (etcd: EtcdMember, proxy: FaultProxy, chance: Chance) => unknown

/** Something that goes wrong, and its end. */
export interface Fault {
  name: string
  /** Takes seconds to be noticed. */
  long?: boolean
  begin: Step
  end?: Step
}

const freeze = (direction: FaultDirection): Fault => ({
  name: `freeze ${direction}`,
  long: true,
  begin: (_, proxy) => proxy.freeze(direction),
  end: (_, proxy) => proxy.restore(),
})

/** Somebody else on this machine may have its port for a moment. */
async function startAgain(etcd: EtcdMember): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await etcd.restart()
    } catch (error) {
      if (tries === 10 || !String(error).includes('address already in use')) throw error
      await new Promise(resolve => setTimeout(resolve, 1000))
    }
  }
}

const isAlive = ({ pid }: EtcdMember) => pid !== undefined

export const faults: readonly Fault[] = [
  { name: 'cut', begin: (_, proxy) => proxy.cut(), end: (_, proxy) => proxy.restore() },
  { name: 'long cut', long: true, begin: (_, proxy) => proxy.cut(), end: (_, proxy) => proxy.restore() },
  { name: 'drop', begin: (_, proxy) => proxy.drop() },
  {
    name: 'cut after some bytes',
    begin: (_, proxy, chance) => void proxy.cutAfter(chance.upTo(50_000)),
    end: (_, proxy) => proxy.restore(),
  },
  freeze('both'),
  freeze('up'),
  freeze('down'),
  {
    name: 'delay',
    begin: (_, proxy, chance) => proxy.delay(chance.upTo(300)),
    end: (_, proxy) => proxy.restore(),
  },
  { name: 'kill', begin: etcd => etcd.kill(), end: startAgain },
  { name: 'long kill', long: true, begin: etcd => etcd.kill(), end: startAgain },
  { name: 'wipe', begin: etcd => etcd.restart({ wipe: true }) },
  {
    name: 'wipe while cut',
    begin: async (etcd, proxy) => {
      await proxy.cut()
      await etcd.restart({ wipe: true })
    },
    end: (_, proxy) => proxy.restore(),
  },
  { name: 'compact', begin: etcd => isAlive(etcd) && etcd.compact().catch(() => {}) },
  {
    name: 'compact while cut',
    begin: (_, proxy) => proxy.cut(),
    end: async (etcd, proxy) => {
      if (isAlive(etcd)) await etcd.compact().catch(() => {})
      await proxy.restore()
    },
  },
  { name: 'stop', long: true, begin: etcd => isAlive(etcd) && etcd.freeze(), end: etcd => etcd.thaw() },
  {
    name: 'all keys deleted',
    begin: etcd => etcd.etcdctl('del', '--prefix', '/services/', '--command-timeout=500ms').catch(() => {}),
  },
]
