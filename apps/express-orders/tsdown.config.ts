import type { UserConfig } from 'tsdown'

const config: UserConfig = {
  entry: ['src/main.ts'],
  format: ['esm'],
  platform: 'node',
  target: 'node20.19',
  dts: false,
  sourcemap: true,
  fixedExtension: true,
}

export default config
