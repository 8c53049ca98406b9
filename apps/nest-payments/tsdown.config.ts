import type { UserConfig } from 'tsdown'

const config: UserConfig = {
  entry: ['src/main.ts'],
  format: ['esm'],
  platform: 'node',
  target: 'node20.19',
  dts: false,
  sourcemap: true,
  fixedExtension: true,
  // Only in this repository: from its folder here it would load the Nest 10 that is installed for its own tests.
  deps: { alwaysBundle: ['@etcd-register/nestjs'], neverBundle: ['@etcd-register/core'] },
}

export default config
