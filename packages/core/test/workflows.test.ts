import { execFile, execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'

interface Step {
  uses?: string
  run?: string
  with?: Record<string, unknown>
  env?: Record<string, string>
}

interface Job {
  uses?: string
  needs?: string | string[]
  environment?: string
  permissions?: Record<string, string>
  steps?: Step[]
}

interface Workflow {
  permissions?: Record<string, string>
  jobs: Record<string, Job>
}

const root = fileURLToPath(new URL('../../..', import.meta.url))
const folder = join(root, '.github/workflows')
const workflows = readdirSync(folder).map(file => {
  const text = readFileSync(join(folder, file), 'utf8')
  return { file, text, workflow: parse(text) as Workflow }
})
const release = workflows.find(({ file }) => file === 'release.yml')!.workflow

/** With what it is granted, by itself or by its workflow. */
const jobs = workflows.flatMap(({ file, workflow }) =>
  Object.entries(workflow.jobs).map(([name, job]) => ({
    ...{ at: `${file} ${name}`, job, steps: job.steps ?? [] },
    granted: Object.entries(job.permissions ?? workflow.permissions ?? { everything: 'write' })
      .filter(([, level]) => level === 'write')
      .map(([right]) => right),
  })),
)

/** What a job with rights may run: scripts of this repository that install nothing, each by its whole line. */
const TRUSTED = [
  'scripts/release-pull-request release/versions.patch',
  'node scripts/publish-release.mjs release',
  'scripts/tag-release release',
]

describe('a workflow gives no rights to the code of others', () => {
  test('every workflow starts with read access at most', () => {
    for (const { file, workflow } of workflows) {
      const levels = Object.values(workflow.permissions ?? { everything: 'write' })
      expect(
        levels.filter(level => level !== 'read' && level !== 'none'),
        file,
      ).toEqual([])
    }
  })

  test('a job that may write, or has an identity, installs nothing and runs no package', () => {
    const privileged = jobs.filter(({ granted }) => granted.length > 0)
    expect(privileged.map(({ at }) => at)).toEqual([
      'release.yml pull-request',
      'release.yml publish',
      'release.yml tag',
    ])
    for (const { at, steps } of privileged) {
      const commands = steps.flatMap(({ run }) => (run === undefined ? [] : [run.trim()]))
      expect(
        commands.filter(command => !TRUSTED.includes(command)),
        at,
      ).toEqual([])
      expect(
        steps.filter(({ uses }) => uses !== undefined && !uses.startsWith('actions/')),
        at,
      ).toEqual([])
    }
  })

  test('a script that runs with rights calls nothing but git, gh, npm view and npm publish', () => {
    const scripts = ['publish-release.mjs', 'published.mjs', 'tag-release', 'release-pull-request']
    for (const script of scripts) {
      const text = readFileSync(join(root, 'scripts', script), 'utf8').replace(/^(?:#|\/\/).*$/gm, '')
      expect(text, script).not.toMatch(
        /npm (?:ci|install|i|run|exec|pack|test)\b|\bnpx\b|node_modules|import\(/,
      )
      const imported = [...text.matchAll(/from '([^']+)'/g)].map(([, name]) => name!)
      expect(
        imported.filter(name => !name.startsWith('node:') && name !== './published.mjs'),
        script,
      ).toEqual([])
    }
  })

  test('who may publish may not push, and waits for an approval', () => {
    const publishing = jobs.filter(({ granted }) => granted.includes('id-token'))
    expect(publishing.map(({ granted }) => granted)).toEqual([['id-token']])
    expect(publishing.map(({ job }) => job.environment)).toEqual(['npm'])
  })

  test('no secret is at hand where packages of others run', () => {
    for (const { at, steps, granted } of jobs.filter(({ granted }) => granted.length === 0)) {
      expect(JSON.stringify(steps), at).not.toMatch(/secrets\.|github\.token/)
      expect(granted, at).toEqual([])
    }
  })

  test('git keeps its token only where a job pushes', () => {
    for (const { at, steps, granted } of jobs) {
      for (const step of steps.filter(({ uses }) => uses?.startsWith('actions/checkout@'))) {
        if (!granted.includes('contents')) expect(step.with?.['persist-credentials'], at).toBe(false)
      }
    }
  })

  test('every action is named by its commit', () => {
    const actions = jobs.flatMap(({ job, steps }) => [job.uses, ...steps.map(({ uses }) => uses)])
    const outside = actions.filter(uses => uses !== undefined && !uses.startsWith('./'))
    expect(outside.length).toBeGreaterThan(5)
    expect(outside.filter(uses => !/@[0-9a-f]{40}$/.test(uses!))).toEqual([])
  })

  test('nothing of a pull request, an issue or a branch name is put into a shell', () => {
    for (const { at, steps } of jobs) {
      for (const { run = '' } of steps) expect(run, at).not.toContain('${{')
    }
    for (const { file, text } of workflows) expect(text, file).not.toMatch(/pull_request_target|workflow_run/)
  })

  test('what is published was built after the whole check, by the job without rights', () => {
    expect(release.jobs.build).toMatchObject({ needs: 'ci', permissions: { contents: 'read' } })
    expect([release.jobs.publish!.needs, release.jobs.tag!.needs]).toEqual(['build', 'publish'])
  })
})

describe('what the jobs with rights run', () => {
  const temporary = mkdtempSync(join(tmpdir(), 'release-'))
  afterAll(() => rmSync(temporary, { recursive: true }))

  const packages = ['core', 'koa'].map(name => ({
    ...{ name: `@etcd-register/${name}`, version: '1.2.3', filename: `etcd-register-${name}-1.2.3.tgz` },
  }))
  mkdirSync(join(temporary, 'release'))
  writeFileSync(join(temporary, 'release/packages.json'), JSON.stringify(packages))

  test('publishes the tarballs that npm does not have yet, without running their scripts', async () => {
    const npm = join(temporary, 'npm')
    // Knows core at this version only; says what it was called with.
    writeFileSync(
      npm,
      '#!/bin/sh\ncase "$1 $2" in\n"view @etcd-register/core@1.2.3") echo \'"1.2.3"\' ;;\nview*) echo "npm error code E404" >&2; exit 1 ;;\n*) echo "npm $*" ;;\nesac\n',
    )
    chmodSync(npm, 0o755)
    const script = join(root, 'scripts/publish-release.mjs')
    const { stdout } = await promisify(execFile)(process.execPath, [script, 'release'], {
      cwd: temporary,
      env: { ...process.env, PATH: `${temporary}:${process.env.PATH}` },
    })
    const tarball = join(temporary, 'release', 'etcd-register-koa-1.2.3.tgz')
    expect(stdout.split('\n').filter(line => line !== '')).toEqual([
      '@etcd-register/core@1.2.3 is published already',
      expect.stringMatching(
        /^npm publish .*etcd-register-koa-1\.2\.3\.tgz --ignore-scripts --provenance --access public$/,
      ),
    ])
    expect(stdout).toContain(tarball.slice(-30))
  })

  test('tags each package, and can be run again', () => {
    const git = (cwd: string, ...args: string[]) =>
      execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@localhost', ...args], {
        cwd,
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'pipe'],
      })
    const [origin, clone] = [join(temporary, 'origin'), join(temporary, 'clone')]
    git(temporary, 'init', '--quiet', '--bare', origin)
    git(temporary, 'clone', '--quiet', origin, clone)
    git(clone, 'commit', '--quiet', '--allow-empty', '--message', 'one')
    for (let times = 0; times < 2; times += 1) {
      execFileSync(join(root, 'scripts/tag-release'), ['../release'], { cwd: clone, stdio: 'pipe' })
      expect(git(origin, 'tag').trim().split('\n')).toEqual([
        '@etcd-register/core@1.2.3',
        '@etcd-register/koa@1.2.3',
      ])
    }
  })

  test('takes from the patch what a release changes, and nothing else', () => {
    const script = readFileSync(join(root, 'scripts/release-pull-request'), 'utf8')
    const included = [...script.matchAll(/--include='?([^' ]+)'?/g)].map(([, pattern]) => pattern)
    expect(included).toEqual(['.changeset/*', '*package.json', '*CHANGELOG.md', 'package-lock.json'])
  })
})
