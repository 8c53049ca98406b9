import { runExitContract } from 'adapter-contract'
import { harness } from './support/harness.ts'

runExitContract('koa', harness, harness.major === 3 ? 'framework' : 'major')
