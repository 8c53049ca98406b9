import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { describe, expect, test } from 'vitest'

const src = fileURLToPath(new URL('../src', import.meta.url))
const architecture = readFileSync(new URL('../../../ARCHITECTURE.md', import.meta.url), 'utf8')

/** What each folder may import from, as ARCHITECTURE.md says. */
const LAYERS = new Map(
  [...architecture.matchAll(/^\| `([\w/]+)` \| ([`\w/* ]*) ?\|/gm)].map(([, folder, allowed]) => [
    folder!,
    [...allowed!.matchAll(/`([^`]+)`/g)].map(([, name]) => name!),
  ]),
)

const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter(file => file.endsWith('.ts'))

interface Import {
  from: string
  to: string
}

/** Every import and export of another module, of types too, `import()` and `import('...')` types included. */
function importsOf(file: string): Import[] {
  const source = ts.createSourceFile(
    file,
    readFileSync(join(src, file), 'utf8'),
    ts.ScriptTarget.Latest,
    true,
  )
  const found: Import[] = []
  const add = (specifier: ts.Node | undefined) => {
    if (specifier === undefined || !ts.isStringLiteral(specifier)) return
    const { text } = specifier
    found.push({
      from: file,
      to: text.startsWith('.') ? relative(src, join(src, dirname(file), text)) : text,
    })
  }
  const visit = (node: ts.Node) => {
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) add(node.moduleSpecifier)
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) add(node.argument.literal)
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword)
      add(node.arguments[0])
    ts.forEachChild(node, visit)
  }
  visit(source)
  return found
}

const imports = files.flatMap(importsOf)
const show = ({ from, to }: Import) => `${from} -> ${to}`

const isAllowed = (folder: string, other: string) =>
  LAYERS.get(folder)!.some(name => name === other || (name === 'etcd/*' && other.startsWith('etcd/')))

test('ARCHITECTURE.md has each folder, and no other', () => {
  const folders = new Set(files.map(file => dirname(file)).filter(folder => folder !== '.'))
  expect([...LAYERS.keys()].sort()).toEqual([...folders].sort())
  expect(imports.length).toBeGreaterThan(100)
})

test('only the index lies beside the folders', () => {
  expect(files.filter(file => dirname(file) === '.')).toEqual(['index.ts'])
})

test('no file imports upwards or sideways', () => {
  const wrong = imports.filter(({ from, to }) => {
    if (!to.endsWith('.ts') || from === 'index.ts') return false
    const [folder, other] = [dirname(from), dirname(to)]
    return folder !== other && !isAllowed(folder, other)
  })
  expect(wrong.map(show)).toEqual([])
})

test('the folders are in order: each one comes after those it imports from', () => {
  const order = [...LAYERS.keys()]
  const late = order.flatMap((folder, i) =>
    order.slice(i + 1).flatMap(other => (isAllowed(folder, other) ? [`${folder} -> ${other}`] : [])),
  )
  expect(late).toEqual([])
})

test('no two files import each other, directly or around, not even types', () => {
  const graph = new Map(files.map(file => [file, [] as string[]]))
  for (const { from, to } of imports) if (graph.has(to)) graph.get(from)!.push(to)
  const circles: string[] = []
  const done = new Set<string>()
  const walk = (file: string, path: string[]) => {
    if (path.includes(file)) circles.push([...path.slice(path.indexOf(file)), file].join(' -> '))
    else if (!done.has(file)) for (const next of graph.get(file)!) walk(next, [...path, file])
    done.add(file)
  }
  for (const file of files) walk(file, [])
  expect(circles).toEqual([])
})

describe('only etcd/ knows the client library', () => {
  test('by import', () => {
    const users = imports.filter(({ to }) => to === 'etcd3' || to.startsWith('@grpc/') || to === 'cockatiel')
    expect(users.filter(({ from }) => !from.startsWith('etcd/')).map(show)).toEqual([])
    expect(users.length).toBeGreaterThan(0)
  })

  test('and loads it when it is needed, not before', () => {
    const eager = files.flatMap(file =>
      [...readFileSync(join(src, file), 'utf8').matchAll(/^import (?!type ).*from 'etcd3'/gm)].map(
        () => file,
      ),
    )
    expect(eager).toEqual([])
  })

  test('everything else comes from Node itself', () => {
    const packages = imports.map(({ to }) => to).filter(to => !to.endsWith('.ts') && !to.startsWith('node:'))
    expect([...new Set(packages)]).toEqual(['etcd3'])
  })
})
