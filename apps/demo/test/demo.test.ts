import { startEtcdBinary, startFaultProxy } from '@etcd-register/testing'
import { test } from 'vitest'
import { alive, startDemo } from './demo-process.ts'

test.for([
  ['by itself', []],
  ['on a real etcd', ['--etcd']],
] as const)(
  '%s, unattended, every scene happens, and no call fails but those to a crashed instance',
  { concurrent: true, timeout: 120_000 },
  async ([where, more], { expect }) => {
    await using demo = startDemo(['--once', '--json', ...more])
    expect(await demo.ended, demo.errors.join('\n')).toBe(0)
    expect(demo.lines).toHaveLength(1)
    const report = JSON.parse(demo.lines[0]!)
    expect(report).toMatchObject({ ok: true, failed: 0, ttl: 5 })
    expect(report.requests).toBeGreaterThan(100)
    expect(report.failedAfterCrash).toBeGreaterThan(0)
    // How fast it is depends on what runs beside it: `.ci/run` gives the demo alone 40 s.
    const least = { startMs: 1, leaveMs: 0, joinMs: 1, staleMs: 0, freshMs: 0 }
    for (const [name, ms] of Object.entries(least)) expect(report[name], name).toBeGreaterThanOrEqual(ms)
    // A lease of 5 s was renewed at most 2 s before the crash; who leaves is gone before any lease ends.
    expect(report.crashMs).toBeGreaterThanOrEqual(2000)
    expect(report.leaveMs).toBeLessThan(report.crashMs)
    expect(demo.errors.filter(line => /warning|error/i.test(line))).toEqual([])
    expect(demo.errors.join('\n')).toContain(where === 'by itself' ? 'in memory only' : 'a real one')
  },
)

test.concurrent('Ctrl-C ends everything in order, and the exit status is 130', async ({ expect }) => {
  await using demo = startDemo(['--json'])
  await demo.line('✓ start')
  const processes = demo.processes()
  expect(processes.length).toBeGreaterThanOrEqual(3) // the demo, two instances
  demo.ctrlC()
  expect(await demo.ended).toBe(130)
  expect(alive(processes)).toEqual([])
  expect(demo.errors.filter(line => line.includes('no instance'))).toHaveLength(1)
  expect(demo.lines.map(line => JSON.parse(line))).toMatchObject([{ failed: 0 }])
})

test.concurrent('a second Ctrl-C ends it at once', async ({ expect }) => {
  await using etcd = await startEtcdBinary()
  await using demo = startDemo([], { ETCD_ENDPOINTS: etcd.endpoint })
  await demo.line('✓ start')
  const processes = demo.processes()
  await etcd.freeze() // so that leaving takes seconds
  demo.ctrlC()
  await demo.line('The end')
  const again = setInterval(demo.ctrlC, 100) // too soon after the first it counts as the same
  expect(await demo.ended.finally(() => clearInterval(again))).toBe(130)
  await expect.poll(() => alive(processes)).toEqual([])
})

test.concurrent('nothing is left when the demo is killed, not even its real etcd', async ({ expect }) => {
  await using demo = startDemo(['--etcd'])
  await demo.line('✓ start')
  const processes = demo.processes()
  demo.kill()
  await demo.ended
  await expect.poll(() => alive(processes), { timeout: 60_000 }).toEqual([])
})

test.concurrent('a scene that does not happen gives exit status 1, says which, and leaves nothing', async ({
  expect,
}) => {
  await using etcd = await startEtcdBinary()
  await using proxy = await startFaultProxy(etcd)
  await using demo = startDemo(['--once', '--json'], { ETCD_ENDPOINTS: proxy.endpoint })
  await demo.line('SIGTERM to orders-2')
  const processes = demo.processes()
  proxy.freeze()
  expect(await demo.ended, demo.errors.join('\n')).toBe(1)
  expect(demo.errors).toContain('✗ the row of orders-2 leaves: not within 5 s')
  expect(demo.lines.map(line => JSON.parse(line))).toMatchObject([{ ok: false }])
  expect(alive(processes)).toEqual([])
}, 120_000)
