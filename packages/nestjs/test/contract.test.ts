import 'reflect-metadata'
import { runAdapterContract } from 'adapter-contract'
import { createApp } from './fixtures/app.mjs'
import { loadedVersion, major, project } from './support/installed.ts'

for (const platform of ['express', 'fastify']) {
  runAdapterContract(`nest on ${platform}`, {
    createApp,
    platform,
    framework: '@nestjs/core',
    version: loadedVersion,
    major,
    project: project(),
  })
}
