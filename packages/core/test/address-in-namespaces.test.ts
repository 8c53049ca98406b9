import { execFile, execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'

const fixture = (name: string) => fileURLToPath(new URL(`./fixtures/${name}`, import.meta.url))
const inNamespaces = [
  '--net',
  '--mount',
  '--pid',
  '--fork',
  '--kill-child',
  '--mount-proc',
  '--map-root-user',
]

interface Machine {
  interfaces?: string
  gateway?: string
  hosts?: string
  etcd: string
}

/** What an instance would advertise on a machine with these interfaces. It ends with the process that it is for. */
function advertised({ interfaces = '-', gateway = '-', hosts = '', etcd }: Machine): Promise<string> {
  return run('address.sh', folder => [interfaces, gateway, hosts, etcd, join(folder, 'hosts')])
}

/** What a script says, in namespaces that end with it. Its last arguments may name what is in a folder for it. */
async function run(script: string, args: (folder: string) => string[]): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'namespace-'))
  const { SERVICE_HOST, POD_IP, HOST_IP, ...rest } = process.env
  const env = { ...rest, NODE: process.execPath, ETCD: process.env.ETCD_BIN ?? 'etcd' }
  const command = [...inNamespaces, 'sh', fixture(script), ...args(folder)]
  try {
    return (await promisify(execFile)('unshare', command, { env, timeout: 60_000 })).stdout.trim()
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Linux has them; whether a user who is not root may make one is up to the machine. */
function haveNamespaces(): boolean {
  try {
    execFileSync('unshare', [...inNamespaces, 'true'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

const docker = '172.17.0.1/16'

// In CI there is no way around them.
describe.skipIf(!haveNamespaces() && !process.env.CI)(
  'in a network of its own an instance advertises',
  () => {
    const several = { interfaces: `${docker} 10.1.2.3/24 10.9.9.9/24`, gateway: '10.1.2.1' }

    test.concurrent.each<[string, Machine, string]>([
      [
        'the one of several interfaces that routes to etcd',
        { ...several, etcd: '10.9.9.50' },
        'route-to-etcd http://10.9.9.9:8000',
      ],
      [
        'the one that routes to etcd, also where its URL leaves out the port',
        { ...several, etcd: 'http://10.9.9.50:80' },
        'route-to-etcd http://10.9.9.9:8000',
      ],
      [
        'the one of the default route',
        { ...several, etcd: '192.0.2.7' },
        'route-to-etcd http://10.1.2.3:8000',
      ],
      [
        'the route to a name',
        { ...several, hosts: '10.9.9.50 etcd.test', etcd: 'etcd.test' },
        'route-to-etcd http://10.9.9.9:8000',
      ],
      [
        'the route to the one address of a name that there is a route to',
        {
          interfaces: '10.9.9.9/24',
          hosts: '2001:db8::50 etcd.test\n10.9.9.50 etcd.test',
          etcd: 'etcd.test',
        },
        'route-to-etcd http://10.9.9.9:8000',
      ],
      [
        'IPv6, where there is nothing else, in brackets',
        { interfaces: '2001:db8::7/64', etcd: '[2001:db8::50]' },
        'route-to-etcd http://[2001:db8::7]:8000',
      ],
      [
        'IPv6 also where etcd has a name',
        { interfaces: '2001:db8::7/64', hosts: '2001:db8::50 etcd.test', etcd: 'etcd.test' },
        'route-to-etcd http://[2001:db8::7]:8000',
      ],
      [
        'the only interface, where nothing routes to etcd',
        { interfaces: '10.9.9.9/24', etcd: '192.0.2.7' },
        'only-interface http://10.9.9.9:8000',
      ],
      [
        'the only interface, where etcd is on this machine',
        { interfaces: '10.9.9.9/24', etcd: '127.0.0.1' },
        'only-interface http://10.9.9.9:8000',
      ],
      [
        'loopback, where there is nothing else and etcd is there too',
        { etcd: '127.0.0.1' },
        'loopback http://127.0.0.1:8000',
      ],
      [
        'loopback, where one could not tell which of several',
        { interfaces: `${docker} 10.9.9.9/24`, etcd: '[::1]' },
        'loopback http://127.0.0.1:8000',
      ],
    ])('%s', async (_, machine, expected) => {
      expect(await advertised(machine)).toBe(expected)
    })

    test.concurrent('the address that the machine has now, also while connections live on without theirs', async () => {
      const moved = await run('moves.sh', folder => [join(folder, 'etcd')])
      expect(moved).toBe('10.9.9.2:8000 -> 10.9.9.3:8000 by route-to-etcd')
    })

    test.concurrent('nothing, with an error that says what to set, where several could be meant or there is none', async () => {
      expect(await advertised({ interfaces: `${docker} 10.9.9.9/24`, etcd: '192.0.2.7' })).toMatch(
        /^No address to advertise: several interfaces could be meant \(172\.17\.0\.1, 10\.9\.9\.9\) and none routes to etcd at 192\.0\.2\.7:2379\. Set the option "host"/,
      )
      expect(await advertised({ etcd: '192.0.2.7' })).toMatch(
        /^No address to advertise: no interface has a routable address/,
      )
    })
  },
)
