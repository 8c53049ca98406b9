import { appendFileSync } from 'node:fs'

/**
 * Ends a vitest run with the line `N passed, N failed, N skipped`, and fails a run that executed no test:
 * vitest itself is content when a filter or a `skip` leaves nothing to run.
 * With TEST_COUNTS_FILE set, appends `passed failed skipped process.version` to that file.
 */
export default class ClosingLineReporter {
  onTestRunEnd(modules, unhandledErrors) {
    const count = { passed: 0, failed: unhandledErrors.length, skipped: 0 }
    for (const module of modules) {
      for (const test of module.children.allTests()) {
        const { state } = test.result()
        // A test that is still pending when the run ends was cut off: that is no pass.
        count[state === 'pending' ? 'failed' : state] += 1
      }
      // A file that does not load and a hook that throws leave their tests skipped or unknown.
      for (const suite of [module, ...module.children.allSuites()]) {
        if (suite.errors().length > 0) count.failed += 1
      }
    }
    const { passed, failed, skipped } = count

    if (process.env.TEST_COUNTS_FILE) {
      appendFileSync(process.env.TEST_COUNTS_FILE, `${passed} ${failed} ${skipped} ${process.version}\n`)
    }
    if (failed > 0) process.exitCode = 1
    if (passed + failed === 0) {
      console.error('No test was executed.')
      process.exitCode = 1
    }
    // On exit, because vitest prints the coverage after this hook.
    this.closingLine = `${passed} passed, ${failed} failed, ${skipped} skipped`
  }

  onInit() {
    process.once('exit', () => this.closingLine && console.log(this.closingLine))
  }
}
