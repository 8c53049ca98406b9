import { runExitContract } from 'adapter-contract'
import { major, project } from './support/installed.ts'

const nest = { framework: '@nestjs/core', major, project: project() }
runExitContract('nest on express', { ...nest, platform: 'express' }, major === 12 ? 'framework' : 'major')
runExitContract('nest on fastify', { ...nest, platform: 'fastify' }, 'platform')
