import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { type Etcd, startEtcd, startEtcdBinary } from '@etcd-register/testing'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { findEtcd, findEtcdctl } from '../../src/binary.ts'
import { runEtcdctl } from '../../src/etcdctl.ts'
import { etcdVersion, since } from './conform.ts'

/** The one that goes with the real etcd, for both. */
const bin = findEtcdctl(findEtcd(undefined))
const etcdctl = ({ endpoint }: Etcd, ...args: string[]) =>
  runEtcdctl(bin, { endpoint, tls: undefined, auth: undefined }, args)

let etcds: Etcd[]
/** As etcdctl prints them: in hex without leading zeros, so of no fixed length. */
const memberIds = new Map<Etcd, string>()

beforeAll(async () => {
  etcds = await Promise.all([startEtcdBinary(), startEtcd({ version: etcdVersion })])
  for (const etcd of etcds) memberIds.set(etcd, (await etcdctl(etcd, 'member', 'list')).split(',')[0]!)
})
afterAll(() => Promise.all(etcds.map(etcd => etcd.stop())))

/** What differs from one etcd to the next: ids, addresses, names and sizes. */
const comparable = (output: string, etcd: Etcd) =>
  output
    .replaceAll(etcd.endpoint, 'ENDPOINT')
    .replaceAll(`127.0.0.1:${etcd.port}`, 'ENDPOINT')
    .replace(
      /"?(cluster_id|member_id|raft_term|ID|leader|raftIndex|raftTerm|raftAppliedIndex|dbSize|dbSizeInUse)"? ?: ?\d+/gi,
      '$1:N',
    )
    .replaceAll(memberIds.get(etcd)!, 'ID')
    .replace(/http:\/\/(localhost|127\.0\.0\.1):\d+/g, 'PEER')
    .replace(/etcd-[0-9a-f]+-1|embedded/g, 'NAME')
    .replace(/\d+ [kM]B/g, 'SIZE')
    .replace(/\d+%/g, 'PERCENT')
    .replace(/took = .*/, 'took')

async function onBoth(args: string[], mask: (text: string) => string = text => text): Promise<string> {
  const [real, embedded] = await Promise.all(
    etcds.map(etcd =>
      etcdctl(etcd, ...args).then(
        output => mask(comparable(output, etcd)),
        ({ stderr }) => mask(comparable(`failed: ${stderr}`, etcd)).replace(/\{"level".*\n/g, ''),
      ),
    ),
  )
  expect(embedded, args.join(' ')).toBe(real)
  return real!
}

const formats = ['simple', 'json', 'fields']

test('put, get and del print the same in every format', async () => {
  for (const format of formats) {
    await onBoth(['put', 'a', '1', '-w', format])
    await onBoth(['put', 'a', '2', '--prev-kv', '-w', format])
    await onBoth(['put', 'b', '', '-w', format])
    await onBoth(['put', 'c', '3', '--ignore-value', '-w', format])
    await onBoth(['put', 'none', '--ignore-value', '-w', format])
    for (const more of [
      ...[[], ['--prefix'], ['--from-key'], ['--keys-only', '--prefix'], ['--limit', '1', '--prefix']],
      ...[['--rev', '2'], ['--rev', '9999'], ['--prefix', '--count-only'], ['--print-value-only']],
      ...[
        ['--prefix', '--order', 'DESCEND'],
        ['--prefix', '--sort-by', 'VALUE'],
        ['--consistency', 's'],
      ],
    ]) {
      await onBoth(['get', 'a', ...more, '-w', format])
    }
    await onBoth(['get', '', '--prefix', '-w', format])
    await onBoth(['get', 'none', '-w', format])
    await onBoth(['del', 'a', '-w', format])
    await onBoth(['put', 'a', '4', '-w', format])
    await onBoth(['del', 'a', 'z', '--prev-kv', '-w', format])
    await onBoth(['del', 'none', '-w', format])
  }
  expect(await onBoth(['put', 'a', '1'])).toBe('OK\n')
}, 120_000)

test('leases print the same, from grant to revocation', async () => {
  // an id cannot be chosen with etcdctl, so each has its own
  const ids = await Promise.all(
    etcds.map(async etcd => / ([0-9a-f]+) granted/.exec(await etcdctl(etcd, 'lease', 'grant', '1000'))![1]!),
  )
  const withIds = async (args: string[]) => {
    const [real, embedded] = await Promise.all(
      etcds.map(async (etcd, index) => {
        const output = await etcdctl(etcd, ...args.map(arg => arg.replace('ID', ids[index]!)))
        return output.replaceAll(ids[index]!, 'ID').replaceAll(String(BigInt(`0x${ids[index]}`)), 'DECIMAL')
      }),
    )
    const mask = (text: string) =>
      text
        .replace(/remaining\(\d+s\)|"ttl":\d+/g, 'LEFT')
        .replace(/"(cluster_id|member_id|raft_term)":\d+/g, '$1')
    expect(mask(embedded!), args.join(' ')).toBe(mask(real!))
    return real!
  }
  await withIds(['put', 'leased', 'x', '--lease', 'ID'])
  await withIds(['put', 'leased', 'y', '--ignore-lease'])
  expect(await withIds(['lease', 'list'])).toContain('found 1 leases')
  for (const format of ['simple', 'json']) {
    await withIds(['lease', 'timetolive', 'ID', '--keys', '-w', format])
    await withIds(['get', 'leased', '-w', format])
    await withIds(['lease', 'keep-alive', '--once', 'ID', '-w', format])
  }
  expect(await withIds(['lease', 'revoke', 'ID'])).toBe('lease ID revoked\n')
  await withIds(['get', 'leased'])
  await withIds(['lease', 'timetolive', 'ID'])
  await onBoth(['lease', 'revoke', '123'])
  await onBoth(['lease', 'keep-alive', '--once', '123'])
})

test('members, health and status print the same, but for ids and sizes', async () => {
  for (const format of ['simple', 'json', 'table']) {
    const cells = (text: string) => text.replace(/ +/g, ' ').replace(/[-─]+/g, '-')
    await onBoth(['member', 'list', '-w', format], cells)
    await onBoth(['endpoint', 'health', '-w', format], text =>
      cells(text)
        .replace(/[\d.]+(ms|µs|s)\b/, 'TIME')
        .replace(/"took":"[^"]+"/, 'TIME'),
    )
    const numbers = (text: string) => cells(text).replace(/(true|false)(,| [|│]).*/g, '$1 NUMBERS')
    await onBoth(['endpoint', 'status', '-w', format], numbers)
  }
})

test('compaction and alarms print the same', async () => {
  for (const value of ['1', '2', '3']) await onBoth(['put', 'compacted', value])
  const { header } = JSON.parse(await etcdctl(etcds[1]!, 'get', 'compacted', '-w', 'json'))
  const revision = String(header.revision)
  await onBoth(['compaction', revision])
  await onBoth(['compaction', revision])
  await onBoth(['compaction', '99999'])
  await onBoth(['get', 'compacted', '--rev', String(header.revision - 1)])
  await onBoth(['alarm', 'list'])
  await onBoth(['defrag'], text => text.replace(/took.*/, ''))
})

/** Runs it with some input until it ends, or its output has a last line. */
async function interactively(etcd: Etcd, args: string[], input: string, last?: RegExp): Promise<string> {
  const child: ChildProcess = spawn(bin, ['--endpoints', etcd.endpoint, ...args], {
    // newer ones warn of a variable that chooses the API
    env: { PATH: process.env.PATH, ...(!since('3.5') && { ETCDCTL_API: '3' }) },
  })
  onTestFinished(() => {
    child.kill('SIGKILL')
  })
  const ended = once(child, 'close')
  let output = ''
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.on('data', chunk => {
      output += chunk
      if (last?.test(output)) child.kill('SIGKILL')
    })
  }
  child.stdin!.end(input)
  await ended
  return output.replace(/^\{"level".*\n/gm, '')
}

test('transactions print the same', async () => {
  await onBoth(['put', 'txn', '1'])
  const compare = 'value("txn") = "1"\nversion("txn") > "0"\n'
  for (const condition of [compare, 'create("txn") = "0"\n']) {
    const script = `${condition}\nput txn 2\nget txn\nput other "a b"\n\nget txn\nget none\n\n`
    const [real, embedded] = await Promise.all(etcds.map(etcd => interactively(etcd, ['txn'], script)))
    expect(embedded).toBe(real)
    expect(real).toMatch(/SUCCESS|FAILURE/)
  }
  const duplicate = '\nput txn 1\nput txn 2\n\n\n'
  const [real, embedded] = await Promise.all(etcds.map(etcd => interactively(etcd, ['txn'], duplicate)))
  expect(embedded).toBe(real)
  expect(real).toContain('duplicate key')
})

test('watches print the same, from the past and from now on', async () => {
  const first = JSON.parse(await etcdctl(etcds[1]!, 'put', 'watched', '0', '-w', 'json')).header.revision
  await etcdctl(etcds[0]!, 'put', 'watched', '0')
  await onBoth(['put', 'watched', '1'])
  await onBoth(['del', 'watched'])
  await onBoth(['put', 'watched/below', '2'])
  for (const [more, last] of [
    [[], /watched\/below\n2\n$/],
    [['--prev-kv'], /watched\/below\n2\n$/],
    [['-w', 'json'], /\}\n$/],
  ] as const) {
    const args = ['watch', 'watched', '--prefix', '--rev', String(first), ...more]
    const [real, embedded] = await Promise.all(etcds.map(etcd => interactively(etcd, args, '', last)))
    const mask = (text: string) =>
      text.replace(/"(ClusterId|MemberId|cluster_id|member_id|raft_term)":\d+/gi, '$1')
    expect(mask(embedded!)).toBe(mask(real!))
    expect(real).toContain(more.includes('json' as never) ? 'Events' : 'watched')
  }
})
