import type { Capabilities, InstanceFormat } from './format.ts'

/** What a format has that others read and we only write. */
export function writeOnly(
  carried: Pick<Capabilities, 'weight' | 'protocol' | 'hostNames'>,
): Pick<InstanceFormat, 'capabilities' | 'ranges' | 'decode' | 'root' | 'serviceOf'> {
  return {
    capabilities: {
      read: false,
      status: false,
      version: false,
      zone: false,
      metadata: false,
      endpoints: false,
      ...carried,
    },
    ranges: () => [],
    decode: () => ({ skip: 'a value that we only write' }),
    root: () => '',
    serviceOf: () => undefined,
  }
}
