import { runAdapterContract } from 'adapter-contract'
import { majors } from './support/majors.ts'

for (const harness of majors) runAdapterContract('express', harness)
