import type { InstanceFormat } from './format.ts'

/** What a format has that others read and we only write. */
export function writeOnly({
  weight,
}: {
  weight: boolean
}): Pick<InstanceFormat, 'capabilities' | 'ranges' | 'decode' | 'root' | 'serviceOf'> {
  return {
    capabilities: {
      read: false,
      status: false,
      version: false,
      zone: false,
      weight,
      metadata: false,
      endpoints: false,
    },
    ranges: () => [],
    decode: () => ({ skip: 'a value that we only write' }),
    root: () => '',
    serviceOf: () => undefined,
  }
}
