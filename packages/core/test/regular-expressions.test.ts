import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { AST } from '@eslint-community/regexpp'
import { RegExpParser } from '@eslint-community/regexpp'
import { analyse } from 'scslre'
import ts from 'typescript'
import { expect, test } from 'vitest'

const packages = fileURLToPath(new URL('../..', import.meta.url))

interface Expression {
  /** File and line. */
  place: string
  source: string
  flags: string
}

const files = readdirSync(packages).flatMap(name =>
  readdirSync(join(packages, name, 'src'), { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('.ts'))
    .map(file => join(name, 'src', file)),
)

/** What `found` makes of each node of a file. */
function nodesOf<T>(file: string, found: (node: ts.Node, place: string) => T | undefined): T[] {
  const text = readFileSync(join(packages, file), 'utf8')
  const tree = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true)
  const all: T[] = []
  const visit = (node: ts.Node) => {
    const line = tree.getLineAndCharacterOfPosition(node.getStart()).line + 1
    const one = found(node, `${file}:${line}`)
    if (one !== undefined) all.push(one)
    ts.forEachChild(node, visit)
  }
  visit(tree)
  return all
}

function expressionsIn(file: string): Expression[] {
  return nodesOf(file, (node, place) => {
    if (!ts.isRegularExpressionLiteral(node)) return undefined
    const [, source, flags] = /^\/(.*)\/([a-z]*)$/s.exec(node.text)!
    return { place, source: source!, flags: flags! }
  })
}

/** Why an expression takes more than linear time for some text; empty where it does not. */
function faultsOf({ source, flags }: Pick<Expression, 'source' | 'flags'>): string[] {
  const { reports } = analyse({ source, flags })
  const faults = reports.map(
    ({ type, exponential, character }) =>
      `${exponential ? 'exponential' : 'polynomial'} (${type}) for many ${JSON.stringify(character.pick)}`,
  )
  return [
    ...faults,
    ...rescansIn({ source, flags }).map(loop => `polynomial, as ${loop} runs over each beginning`),
  ]
}

/**
 * Loops in the middle of an expression without `^` that run over what comes before them, as in `x.*y`: for many `x`
 * without a `y`, each of them is a beginning that is looked at to the end. The analysis of scslre leaves that out.
 */
function rescansIn({ source, flags }: Pick<Expression, 'source' | 'flags'>): string[] {
  const pattern = new RegExpParser().parsePattern(source, 0, source.length, { unicode: /[uv]/.test(flags) })
  const loops: string[] = []
  const visit = (elements: readonly AST.Element[], before: string, isTail: boolean) => {
    let text = before
    for (const [i, element] of elements.entries()) {
      const isLast = isTail && i === elements.length - 1
      if (element.type === 'Character') text += String.fromCodePoint(element.value)
      if (element.type === 'Assertion' && element.kind === 'start') return
      if (
        element.type === 'Quantifier' &&
        element.max === Number.POSITIVE_INFINITY &&
        !isLast &&
        text !== ''
      ) {
        const runs = new RegExp(`^(?:${element.raw})$`, flags.replace(/[gy]/g, ''))
        if (runs.test(text)) loops.push(element.raw)
      }
      if ('alternatives' in element) for (const one of element.alternatives) visit(one.elements, text, isLast)
    }
  }
  for (const { elements } of pattern.alternatives) visit(elements, '', true)
  return loops
}

test('each regular expression takes linear time for any text', () => {
  const all = files.flatMap(expressionsIn)
  expect(all.length).toBeGreaterThan(80)
  const slow = all.flatMap(one =>
    faultsOf(one).map(fault => `${one.place}: /${one.source}/${one.flags}: ${fault}`),
  )
  expect(slow).toEqual([])
})

test('no regular expression is put together at run time, where nobody could check it', () => {
  const made = files.flatMap(file =>
    nodesOf(file, (node, place) => {
      const makes = ts.isNewExpression(node) || ts.isCallExpression(node)
      return makes && node.expression.getText() === 'RegExp' ? place : undefined
    }),
  )
  expect(made).toEqual([])
})

test.each([
  ['(a+)+$', ''],
  ['a+a+$', ''],
  ['\\s+$', ''],
  ['^(?:\\w+\\s?)*$', 'u'],
  ['alert.*unrecognized name', ''],
  ['a[^b]*b', ''],
  ['x(?:y|a.*b)', ''],
])('the check finds /%s/', (source, flags) => {
  expect(faultsOf({ source, flags })).not.toEqual([])
})
