import { createLogUpdate } from 'log-update'
import picocolors from 'picocolors'
import type { Colors } from 'picocolors/types.js'
import type { Consumer } from './consumer.ts'
import { fingerprint, renderTable } from './table.ts'

/** Between two redraws of a live screen, in ms. */
const FRAME = 100

/** Outcomes and notes that stay in sight. */
const OUTCOMES = 5
const NOTES = 2

/** Where the demo tells what happens. */
export interface Screen {
  /** What happens now and what to look at. */
  scene(title: string, lines: readonly string[]): void
  outcome(happened: boolean, text: string): void
  note(text: string): void
  close(): void
}

/** Draws over itself on a terminal; elsewhere prints line by line, and the table when it changed. */
export function openScreen(heading: string, consumer: Consumer, output: NodeJS.WriteStream): Screen {
  const Kind = output.isTTY ? LiveScreen : PlainScreen
  return new Kind(heading, consumer, output)
}

class LiveScreen implements Screen {
  readonly #colors = picocolors
  readonly #heading: string
  readonly #consumer: Consumer
  readonly #output: NodeJS.WriteStream
  readonly #update: ReturnType<typeof createLogUpdate>
  readonly #timer: NodeJS.Timeout
  #scene: string[] = []
  #outcomes: string[] = []
  #notes: string[] = []
  #hint = picocolors.dim('Ctrl-C ends everything in order.')

  constructor(heading: string, consumer: Consumer, output: NodeJS.WriteStream) {
    this.#heading = heading
    this.#consumer = consumer
    this.#output = output
    // log-update 6: 7 leaves lines behind when the height changes, and 8 wants Node 22.
    this.#update = createLogUpdate(output)
    this.#timer = setInterval(() => this.#draw(), FRAME)
  }

  scene(title: string, lines: readonly string[]): void {
    this.#scene = ['', this.#colors.bold(this.#colors.cyan(title)), ...lines, '']
  }

  outcome(happened: boolean, text: string): void {
    this.#outcomes = [...this.#outcomes, mark(happened, text, this.#colors)].slice(-OUTCOMES)
  }

  note(text: string): void {
    const { columns } = this.#output
    const line = `  ${text}`
    this.#notes = [
      ...this.#notes,
      this.#colors.dim(line.length < columns ? line : `${line.slice(0, columns - 2)}…`),
    ].slice(-NOTES)
  }

  close(): void {
    clearInterval(this.#timer)
    this.#hint = ''
    this.#draw()
    this.#update.done()
  }

  #draw(): void {
    const { dim } = this.#colors
    const table = renderTable(this.#consumer, this.#colors)
    this.#update(
      [dim(this.#heading), ...this.#scene, table, '', ...this.#outcomes, ...this.#notes, this.#hint].join(
        '\n',
      ),
    )
  }
}

class PlainScreen implements Screen {
  readonly #colors = picocolors.createColors(false)
  readonly #output: NodeJS.WriteStream
  #seen: string

  constructor(heading: string, consumer: Consumer, output: NodeJS.WriteStream) {
    this.#output = output
    this.#print(heading)
    this.#seen = fingerprint(consumer)
    consumer.on('update', () => {
      const seen = fingerprint(consumer)
      if (seen === this.#seen) return
      this.#seen = seen
      this.#print(renderTable(consumer, this.#colors))
    })
  }

  scene(title: string, lines: readonly string[]): void {
    this.#print(['', title, ...lines].join('\n'))
  }

  outcome(happened: boolean, text: string): void {
    this.#print(mark(happened, text, this.#colors))
  }

  note(text: string): void {
    this.#print(`  ${text}`)
  }

  close(): void {}

  #print(text: string): void {
    this.#output.write(`${text}\n`)
  }
}

function mark(happened: boolean, text: string, colors: Colors): string {
  return happened ? `${colors.green('✓')} ${text}` : `${colors.red('✗')} ${text}`
}
