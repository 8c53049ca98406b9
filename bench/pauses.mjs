/**
 * Looks for pauses of the event loop, from now on, by a timer of 1 ms: `monitorEventLoopDelay()` of Node 24 and newer does
 * not record the first interval after its start.
 */
export function watchPauses() {
  let last = performance.now()
  let longest = 0
  const look = () => {
    const now = performance.now()
    longest = Math.max(longest, now - last)
    last = now
  }
  const timer = setInterval(look, 1)
  return {
    /** The longest so far, in ms. */
    get longest() {
      return longest
    },
    end() {
      look()
      clearInterval(timer)
    },
  }
}
