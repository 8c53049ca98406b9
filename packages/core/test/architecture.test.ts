import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { describe, expect, test } from 'vitest'

const src = fileURLToPath(new URL('../src', import.meta.url))

/** From the bottom up: a file imports from its own layer and from those named, and from nowhere else. */
const LAYERS = {
  vocabulary: [],
  options: ['vocabulary', 'formats'],
  formats: ['vocabulary'],
  balancers: ['vocabulary'],
  etcd: ['vocabulary', 'options'],
  read: ['vocabulary', 'formats', 'etcd', 'balancers'],
  write: ['vocabulary', 'formats', 'etcd', 'options'],
  registry: ['vocabulary', 'formats', 'etcd', 'options', 'balancers', 'read', 'write'],
  server: ['vocabulary', 'options', 'registry'],
  index: ['vocabulary', 'formats', 'balancers', 'registry', 'server'],
} as const satisfies Record<string, readonly string[]>

type Layer = keyof typeof LAYERS

const FILES: Record<Exclude<Layer, 'formats' | 'balancers' | 'etcd'>, readonly string[]> = {
  vocabulary: [
    'types',
    'errors',
    'address',
    'backoff',
    'clock',
    'condition',
    'credentials',
    'emitter',
    'inspect',
    'instance',
    'logger',
    'option-names',
    'text',
    'waiters',
  ],
  options: ['hosts', 'options'],
  read: [
    'range-reader',
    'comparison',
    'watch',
    'table-change',
    'sorted-list',
    'merged-instances',
    'line-limit',
    'complaints',
    'range-rows',
    'instance-table',
    'discovery',
    'shared-tables',
    'service-list',
  ],
  write: [
    'keepalive',
    'lease',
    'advertisement',
    'losses',
    'key-guard',
    'retired-keys',
    'instance-keys',
    'key-claims',
    'worker',
    'registration',
  ],
  registry: ['registry'],
  server: [
    'server',
    'connections',
    'close-hook',
    'primary',
    'shutdown',
    'terminal',
    'listening',
    'request-listeners',
    'expected-server',
    'service-host',
    'service-name',
  ],
  index: ['index'],
}

/** Types that name what is above them: the vocabulary describes the whole, and a type import is gone when compiled. */
const TYPE_ONLY: Record<string, readonly string[]> = {
  'types.ts': ['balancers/index.ts', 'formats/index.ts'],
}

const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter(file => file.endsWith('.ts'))

function layerOf(file: string): Layer | undefined {
  const folder = dirname(file)
  if (folder === 'formats' || folder === 'balancers' || folder === 'etcd') return folder
  const name = file.replace(/\.ts$/, '')
  return (Object.keys(FILES) as (keyof typeof FILES)[]).find(layer => FILES[layer].includes(name))
}

interface Import {
  from: string
  to: string
  typeOnly: boolean
}

/** Every import and export of another module, `import()` and `import('...')` types too. */
function importsOf(file: string): Import[] {
  const source = ts.createSourceFile(
    file,
    readFileSync(join(src, file), 'utf8'),
    ts.ScriptTarget.Latest,
    true,
  )
  const found: Import[] = []
  const add = (specifier: ts.Node | undefined, typeOnly: boolean) => {
    if (specifier === undefined || !ts.isStringLiteral(specifier)) return
    const { text } = specifier
    const to = text.startsWith('.') ? relative(src, join(src, dirname(file), text)) : text
    found.push({ from: file, to, typeOnly })
  }
  const visit = (node: ts.Node) => {
    if (ts.isImportDeclaration(node)) {
      const { isTypeOnly, namedBindings, name } = node.importClause ?? {}
      const named = namedBindings && ts.isNamedImports(namedBindings) ? namedBindings.elements : []
      const allTypes = !name && named.length > 0 && named.every(element => element.isTypeOnly)
      add(node.moduleSpecifier, Boolean(isTypeOnly) || allTypes)
    } else if (ts.isExportDeclaration(node)) add(node.moduleSpecifier, node.isTypeOnly)
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument))
      add(node.argument.literal, true)
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      add(node.arguments[0], false)
    }
    ts.forEachChild(node, visit)
  }
  visit(source)
  return found
}

const imports = files.flatMap(importsOf)
const show = ({ from, to }: Import) => `${from} -> ${to}`

test('every file has its layer, and every name of a layer a file', () => {
  expect(files.filter(file => layerOf(file) === undefined)).toEqual([])
  const named = Object.values(FILES).flat()
  expect(named.filter(name => !files.includes(`${name}.ts`))).toEqual([])
  expect(imports.length).toBeGreaterThan(100)
})

test('ARCHITECTURE.md names every file of a layer', () => {
  const text = readFileSync(new URL('../../../ARCHITECTURE.md', import.meta.url), 'utf8')
  const shown = [...text.matchAll(/^\| [\w ]+ \| `([^`]+)` \|/gm)].flatMap(([, names]) => names!.split(' '))
  expect(Object.values(FILES).flatMap(names => names.filter(name => !shown.includes(name)))).toEqual([])
})

test('no file imports upwards or sideways', () => {
  const wrong = imports.filter(({ from, to, typeOnly }) => {
    if (!to.endsWith('.ts')) return false
    const [layer, other] = [layerOf(from)!, layerOf(to)]
    if (other === undefined) return true
    if (layer === other || (LAYERS[layer] as readonly Layer[]).includes(other)) return false
    return !(typeOnly && TYPE_ONLY[from]?.includes(to))
  })
  expect(wrong.map(show)).toEqual([])
})

test('the layers are in order: none is above itself', () => {
  const order = Object.keys(LAYERS)
  const below = (layer: Layer): Set<Layer> =>
    new Set((LAYERS[layer] as readonly Layer[]).flatMap(other => [other, ...below(other)]))
  for (const layer of order as Layer[]) expect(below(layer).has(layer), layer).toBe(false)
  expect(below('read').has('write') || below('write').has('read')).toBe(false)
})

test('at run time no two files import each other, directly or around', () => {
  const graph = new Map(files.map(file => [file, [] as string[]]))
  for (const { from, to, typeOnly } of imports) if (!typeOnly && graph.has(to)) graph.get(from)!.push(to)
  const circles: string[] = []
  const walk = (file: string, path: string[]) => {
    if (path.includes(file)) circles.push([...path.slice(path.indexOf(file)), file].join(' -> '))
    else for (const next of graph.get(file)!) walk(next, [...path, file])
  }
  for (const file of files) walk(file, [])
  expect([...new Set(circles)]).toEqual([])
})

describe('only etcd/ knows the client library', () => {
  test('by import', () => {
    const users = imports.filter(({ to }) => to === 'etcd3' || to.startsWith('@grpc/') || to === 'cockatiel')
    expect(users.filter(({ from }) => layerOf(from) !== 'etcd').map(show)).toEqual([])
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
