import type { UserConfig } from 'tsdown'

const common: UserConfig = {
  platform: 'node',
  target: 'node20.19',
  sourcemap: true,
  // Jest has no import() for CommonJS.
  outputOptions: (options, format) =>
    format === 'cjs' ? { ...options, dynamicImportInCjs: false } : options,
  fixedExtension: true,
}

const config: UserConfig[] = [
  { ...common, entry: ['src/index.ts'], format: ['esm', 'cjs'], dts: true },
  // a command needs no second format and no types, and cleans nothing that the first has built
  { ...common, entry: ['src/dev.ts'], format: 'esm', dts: false, clean: false },
]

export default config
