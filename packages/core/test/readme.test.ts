import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { startEtcdBinary } from '@etcd-register/testing'
import ts from 'typescript'
import { describe, expect, test } from 'vitest'
import { asModule, examplesIn } from '../../../fixtures/readme-examples.ts'
import { until } from './support/until.ts'

const root = fileURLToPath(new URL('../../..', import.meta.url)).replace(/\/$/, '')

const examplesOf = (file: string) => examplesIn(readFileSync(`${root}/${file}`, 'utf8'), file)

const readmes = readdirSync(`${root}/packages`).map(name => `packages/${name}/README.md`)
const pages = ['exit-codes', 'interop', 'security'].map(name => `packages/core/docs/${name}.md`)
const documents = ['README.md', ...pages, ...readmes]
const examples = documents.flatMap(examplesOf)

/** From a folder that sees all packages and express. */
const home = `${root}/packages/express`

test('every document for users has examples', () => {
  const files = new Set(examples.map(({ at }) => at.replace(/:\d+$/, '')))
  expect([...files]).toEqual(documents)
})

test('every example compiles, with the types that are published', { timeout: 150_000 }, () => {
  const files = new Map(examples.map(({ code }, i) => [`${home}/example-${i}.ts`, `${code}\nexport {}\n`]))
  const options: ts.CompilerOptions = {
    ...ts.parseJsonConfigFileContent(
      ts.readConfigFile(`${root}/tsconfig.base.json`, ts.sys.readFile).config,
      ts.sys,
      home,
    ).options,
    // For `await using` in the examples.
    lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts'],
    // For those of Nest.
    experimentalDecorators: true,
    erasableSyntaxOnly: false,
    declaration: false,
    isolatedDeclarations: false,
    noEmit: true,
  }
  const host = ts.createCompilerHost(options)
  const { readFile, fileExists, getSourceFile } = host
  host.readFile = name => files.get(name) ?? readFile(name)
  host.fileExists = name => files.has(name) || fileExists(name)
  host.getSourceFile = (name, ...rest) =>
    files.has(name)
      ? ts.createSourceFile(name, files.get(name)!, {
          languageVersion: ts.ScriptTarget.ES2023,
          impliedNodeFormat: ts.ModuleKind.ESNext,
        })
      : getSourceFile(name, ...rest)
  const program = ts.createProgram([...files.keys()], options, host)
  const faults = ts.getPreEmitDiagnostics(program).map(({ file, start, messageText }) => {
    const example = [...files.keys()].indexOf(file?.fileName ?? '')
    const line = file && start !== undefined ? file.getLineAndCharacterOfPosition(start).line + 1 : 0
    return `${examples[example]?.at ?? file?.fileName} +${line}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`
  })
  expect(faults).toEqual([])
})

describe.concurrent('the first example of each README works as it stands', () => {
  test.for([
    ['README.md', /^\[\]$/],
    ['packages/core/README.md', /^hello$/],
    ['packages/express/README.md', /^hello$/],
    ['packages/koa/README.md', /^hello$/],
    ['packages/nestjs/README.md', /^hello$/],
  ] as const)('%s', async ([file, expected], t) => {
    await using etcd = await startEtcdBinary()
    const { code } = examplesOf(file)[0]!
    const child = spawn(process.execPath, ['--input-type=module', '-'], {
      cwd: home,
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, ETCD_ENDPOINTS: etcd.endpoint },
    })
    t.onTestFinished(() => void child.kill('SIGKILL'))
    child.stdin.end(asModule(code))
    const said: string[] = []
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', line => said.push(line))
    }
    const ended = once(child, 'exit')
    await until(() => said.some(line => expected.test(line)) || child.exitCode !== null, { within: 45_000 })
    expect(said).toContainEqual(expect.stringMatching(expected))
    child.kill('SIGTERM')
    await ended
    // The service left: nothing of it waits for a lease to expire.
    await until(async () => (await etcd.etcdctl('get', '--prefix', '--keys-only', '/services/')) === '')
  })
})
