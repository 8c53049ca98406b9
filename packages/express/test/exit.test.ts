import { runExitContract } from 'adapter-contract'
import { majors } from './support/majors.ts'

for (const harness of majors) {
  runExitContract('express', harness, harness.major === 5 ? 'framework' : 'major')
}
