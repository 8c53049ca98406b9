import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { expect, test } from 'vitest'
import { installed } from './support/installed.ts'

const pathOf = (file: string) => fileURLToPath(new URL(file, import.meta.url))

test('a typical app compiles against the types of this Nest', () => {
  const paths = {
    '@nestjs/common': [`${installed('@nestjs/common')}/index.d.ts`],
    '@nestjs/core': [`${installed('@nestjs/core')}/index.d.ts`],
    '@nestjs/terminus': [`${installed('@nestjs/terminus')}/dist/index.d.ts`],
  }
  const host = { ...ts.sys, onUnRecoverableConfigFileDiagnostic: () => {} }
  const { options } = ts.getParsedCommandLineOfConfigFile(
    pathOf('../tsconfig.json'),
    { noEmit: true, isolatedDeclarations: false, paths },
    host,
  )!
  const program = ts.createProgram([pathOf('../../../fixtures/typical-nest-app.ts')], options)
  const faults = ts.getPreEmitDiagnostics(program)
  expect(faults.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'))).toEqual([])
})
