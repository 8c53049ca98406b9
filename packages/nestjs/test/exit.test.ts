import { runExitContract } from 'adapter-contract'
import { major, project } from './support/installed.ts'

for (const platform of ['express', 'fastify']) {
  runExitContract(`nest on ${platform}`, {
    platform,
    framework: '@nestjs/core',
    major,
    project: project(),
  })
}
