import CliTable, { type Cell } from 'cli-table3'
import type { Colors } from 'picocolors/types.js'
import type { Consumer, Row } from './consumer.ts'

const HEAD = ['instance', 'address', 'pid', 'status', 'age', 'calls', 'failed']
const RIGHT = { hAlign: 'right' } as const

/** The instances that the consumer knows, and how current that is. */
export function renderTable(consumer: Consumer, colors: Colors): string {
  const table = new CliTable({
    head: HEAD.map(title => colors.bold(title)),
    colAligns: ['left', 'left', 'right', 'left', 'right', 'right', 'right'],
    colWidths: [11, 17, 9, 9, 7, 9, 8],
    style: { head: [], border: [], compact: true },
  })
  for (const row of consumer.rows) table.push(cells(row, colors))
  if (table.length === 0) table.push([{ content: 'no instance', colSpan: HEAD.length }])
  return `${table}\n${freshness(consumer, colors)}\n${totals(consumer, colors)}`
}

/** Changes when a reader of a printed table would want a new one. */
export function fingerprint({ rows, staleSince }: Consumer): string {
  return JSON.stringify([rows.map(({ id, status }) => [id, status]), staleSince])
}

function cells({ id, address, pid, status, since, answered, failed }: Row, colors: Colors): Cell[] {
  const age = `${Math.floor((performance.now() - since) / 1000)} s`
  const failures = failed > 0 ? colors.red(failed) : '0'
  const shown = status === 'up' ? colors.green(status) : colors.yellow(status)
  return [id, address, pid, shown, age, answered + failed, failures].map((content, column) =>
    column === 2 || column > 3 ? { content, ...RIGHT } : { content },
  )
}

function freshness({ staleSince }: Consumer, colors: Colors): string {
  if (staleSince === undefined) return `Table: ${colors.green('fresh')}`
  const seconds = ((Date.now() - staleSince.getTime()) / 1000).toFixed(1)
  const since = staleSince.toLocaleTimeString('en-GB')
  return `Table: ${colors.bold(colors.yellow('STALE'))} since ${since}, ${seconds} s: the last one known, still in use`
}

function totals({ calls: { requests, failed, failedAfterCrash } }: Consumer, colors: Colors): string {
  const failures = failed > 0 ? colors.red(failed) : colors.green(failed)
  return `Calls: ${requests} · failed: ${failures} · to crashed instances, till their lease ended: ${failedAfterCrash}`
}
