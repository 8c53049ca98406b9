/** Parses Prometheus text into samples by full name with labels, such as `up{job="etcd"}`. */
export function parseMetrics(text: string): Map<string, number> {
  const samples = new Map<string, number>()
  for (const line of text.split('\n')) {
    const space = line.lastIndexOf(' ')
    if (line.startsWith('#') || space < 0) continue
    samples.set(line.slice(0, space), Number(line.slice(space + 1)))
  }
  return samples
}

/** Streams of a gRPC method (`Watch`, `LeaseKeepAlive`) that are open: those started less those ended. */
export function countOpenStreams(samples: ReadonlyMap<string, number>, method: string): number {
  const sum = (metric: string) =>
    [...samples]
      .filter(([name]) => name.startsWith(`${metric}{`) && name.includes(`grpc_method="${method}"`))
      .reduce((total, [, value]) => total + value, 0)
  return sum('grpc_server_started_total') - sum('grpc_server_handled_total')
}

/** Calls of each gRPC method that was called at all. */
export function countRequests(samples: ReadonlyMap<string, number>): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const [name, value] of samples) {
    const method = /^grpc_server_started_total\{grpc_method="(\w+)"/.exec(name)?.[1]
    if (method !== undefined && value > 0) counts[method] = value
  }
  return counts
}
