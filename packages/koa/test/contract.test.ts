import { runAdapterContract } from 'adapter-contract'
import { harness } from './support/harness.ts'

runAdapterContract('koa', harness)
