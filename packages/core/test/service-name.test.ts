import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { defaultServiceName } from '../src/server/service-name.ts'

/** A folder with these files, gone with the test; a package.json has the name that is given. */
function folderWith(files: Record<string, string>): string {
  const folder = mkdtempSync(join(realpathSync(tmpdir()), 'service-name-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    const isManifest = path.endsWith('package.json')
    writeFileSync(join(folder, path), isManifest ? JSON.stringify({ name: content }) : content)
  }
  return folder
}

const FILES = {
  'orders/package.json': '@acme/orders',
  'orders/dist/main.js': '',
  'orders/node_modules/jest/package.json': 'jest',
  'orders/node_modules/jest/bin/jest.js': '',
  'node_modules/pm2/package.json': 'pm2',
  'node_modules/pm2/lib/ProcessContainerFork.js': '',
  'workspace/package.json': 'workspace',
  'workspace/services/billing/package.json': '@acme/billing',
  'workspace/services/billing/dist/main.js': '',
  'workspace/node_modules/@nx/js/package.json': '@nx/js',
  'workspace/node_modules/@nx/js/node-with-esm-loader.js': '',
}

test.each<[string, { script?: string; pm2?: string; nx?: string; from: string }, string]>([
  ['the main module', { script: 'orders/dist/main.js', from: '.' }, 'orders'],
  ['the main module without its ending', { script: 'orders/dist/main', from: '.' }, 'orders'],
  ['a folder that is started', { script: 'orders', from: '.' }, 'orders'],
  ['the working directory where there is no main module', { from: 'orders/dist' }, 'orders'],
  [
    'a launcher, and the working directory',
    { script: 'orders/node_modules/jest/bin/jest.js', from: 'orders' },
    'orders',
  ],
  [
    'the container of PM2, and the script that PM2 was given',
    { script: 'node_modules/pm2/lib/ProcessContainerFork.js', pm2: 'orders/dist/main.js', from: '.' },
    'orders',
  ],
  [
    'PM2 that was given a launcher, and the main module',
    { script: 'orders/dist/main.js', pm2: 'node_modules/pm2/lib/ProcessContainerFork.js', from: '.' },
    'orders',
  ],
  [
    'the main module of a process that an app under PM2 started',
    { script: 'workspace/services/billing/dist/main.js', pm2: 'orders/dist/main.js', from: '.' },
    'billing',
  ],
  [
    'the script that Nx was given, relative to the workspace',
    {
      script: 'workspace/node_modules/@nx/js/node-with-esm-loader.js',
      nx: 'services/billing/dist/main.js',
      from: 'workspace',
    },
    'billing',
  ],
  [
    'the main module of a process that an app under Nx started',
    { script: 'orders/dist/main.js', nx: 'services/billing/dist/main.js', from: 'workspace' },
    'orders',
  ],
])('the name is that of the app: %s', (_, { script, pm2, nx, from }, name) => {
  const folder = folderWith(FILES)
  const path = (file: string | undefined) => file && join(folder, file)
  const env = { pm_exec_path: path(pm2), NX_FILE_TO_RUN: nx }
  expect(defaultServiceName(env, path(script), join(folder, from))).toBe(name)
})

test('a command that is a link into node_modules is a launcher, and a package that is linked there is none', () => {
  const folder = folderWith({ ...FILES, 'billing/package.json': 'billing', 'billing/main.js': '' })
  mkdirSync(join(folder, 'bin'))
  const launcher = join(folder, 'bin', 'jest')
  symlinkSync(join(folder, 'orders/node_modules/jest/bin/jest.js'), launcher)
  symlinkSync(join(folder, 'billing'), join(folder, 'node_modules/billing'))
  expect(defaultServiceName({}, launcher, join(folder, 'orders'))).toBe('orders')
  const linked = join(folder, 'node_modules/billing/main.js')
  expect(defaultServiceName({}, linked, join(folder, 'orders'))).toBe('billing')
})

test('where there is only a launcher the error says how to name it', () => {
  const folder = folderWith(FILES)
  const script = join(folder, 'orders/node_modules/jest/bin/jest.js')
  const name = () => defaultServiceName({}, script, join(folder, 'node_modules/pm2'))
  expect(name).toThrow(
    expect.objectContaining({
      code: 'ERR_INVALID_OPTION',
      message: expect.stringMatching(/"name" must be given, .*SERVICE_NAME, .*package\.json/),
    }),
  )
})

test('a process that a launcher started has the name of the app', () => {
  const core = fileURLToPath(new URL('../dist/index.mjs', import.meta.url))
  const launcher = `import { createAdapterRuntime } from ${JSON.stringify(core)}
import { createServer } from 'node:http'
const host = createAdapterRuntime({ hosts: '127.0.0.1:1', logger: false, signals: false })
const server = createServer().listen(0, '127.0.0.1', () => {
  console.log(host.attach(server).registration.instance.name)
  process.exit()
})`
  const folder = folderWith({
    ...FILES,
    'orders/node_modules/nx/package.json': 'nx',
    'orders/node_modules/nx/run.mjs': launcher,
  })
  const { SERVICE_NAME: _, ...env } = process.env
  const cwd = join(folder, 'orders')
  expect(execFileSync(process.execPath, ['node_modules/nx/run.mjs'], { cwd, env, encoding: 'utf8' })).toBe(
    'orders\n',
  )
})
