import { runExitContract } from 'adapter-contract'
import { harness } from './support/harness.ts'

runExitContract('koa', harness)
