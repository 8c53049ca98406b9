import type { KeyEvent } from './key-value.ts'
import { Fields, revisionIn } from './message-fields.ts'
import { MessageRow } from './message-row.ts'

/** What etcd says on a watch stream: its WatchResponse. */
export interface WatchMessage {
  /** etcd's revision when it was sent. */
  revision: number
  /** -1, of an answer to a progress request, is as large as an unsigned number can be. */
  watchId: number
  created: boolean
  canceled: boolean
  /** What is gone where a watch asked for older revisions, 0 for nothing. */
  compactRevision: number
  cancelReason: string
  readonly events: KeyEvent[]
}

/** With more events in one message, the range is listed again. */
const MOST_EVENTS = 1_000_000

/** Bytes of a text that are read. */
const MOST_TEXT = 2000

/** Reads a WatchResponse. Throws `InvalidAnswer` where the message is broken. */
export function decodeWatch(message: Buffer): WatchMessage {
  const read: WatchMessage = {
    revision: 0,
    watchId: 0,
    created: false,
    canceled: false,
    compactRevision: 0,
    cancelReason: '',
    events: [],
  }
  const fields = new Fields(message, 0, message.length)
  while (fields.next()) {
    if (fields.id === 1) read.revision = revisionIn(message, fields.from, fields.to)
    else if (fields.id === 2) read.watchId = fields.number
    else if (fields.id === 3) read.created = fields.number > 0
    else if (fields.id === 4) read.canceled = fields.number > 0
    else if (fields.id === 5) read.compactRevision = fields.number
    else if (fields.id === 6) read.cancelReason = textIn(message, fields.from, fields.to)
    else if (fields.id === 11) {
      if (read.events.length === MOST_EVENTS) throw new Error('too many events in one message')
      read.events.push(decodeEvent(message, fields.from, fields.to))
    }
  }
  return read
}

function textIn(message: Buffer, from: number, to: number): string {
  return message.toString('utf8', from, Math.min(to, from + MOST_TEXT))
}

class Put extends MessageRow {
  readonly type = 'put'
}

class Delete extends MessageRow {
  readonly type = 'delete'
}

function decodeEvent(message: Buffer, from: number, to: number): KeyEvent {
  const fields = new Fields(message, from, to)
  let [deleted, rowFrom, rowTo] = [false, from, from]
  while (fields.next()) {
    if (fields.id === 1) deleted = fields.number > 0
    else if (fields.id === 2) [rowFrom, rowTo] = [fields.from, fields.to]
  }
  return deleted ? new Delete(message, rowFrom, rowTo) : new Put(message, rowFrom, rowTo)
}
