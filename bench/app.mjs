import { fork } from 'node:child_process'
import { once } from 'node:events'

/** An app in a process of its own, which listens. */
export async function startApp(framework, how, etcd) {
  const child = fork(new URL('apps/main.mjs', import.meta.url), [framework, how], {
    env: { ...process.env, ETCD_ENDPOINTS: etcd.endpoint },
  })
  const ended = once(child, 'exit')
  const answer = async () => {
    const [message] = await Promise.race([
      once(child, 'message'),
      ended.then(([code]) => Promise.reject(new Error(`${framework} ${how} ended with ${code}`))),
    ])
    return message
  }
  const { listening, cpu, port } = await answer()
  return {
    /** Milliseconds from the start of the process. */
    listening,
    /** Milliseconds of CPU until then. */
    cpu,
    port,
    async usage() {
      child.send('usage')
      const { cpu, longestPause } = await answer()
      return { microseconds: cpu.user + cpu.system, longestPause }
    },
    async stop() {
      child.kill('SIGKILL')
      await ended
    },
  }
}
