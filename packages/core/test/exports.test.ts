import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import * as core from '@etcd-register/core'
import ts from 'typescript'
import { expect, test } from 'vitest'

const index = new URL('../src/index.ts', import.meta.url)
const types = new URL('../src/types.ts', import.meta.url)

/** The types that a module exports under their names, and what it exports all types of. */
function typesOf(file: URL) {
  const source = ts.createSourceFile(file.pathname, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest)
  const names: string[] = []
  const all: string[] = []
  source.forEachChild(node => {
    if (ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node)) names.push(node.name.text)
    if (!ts.isExportDeclaration(node)) return
    if (node.exportClause === undefined) all.push((node.moduleSpecifier as ts.StringLiteral).text)
    else if (ts.isNamedExports(node.exportClause)) {
      for (const { name, isTypeOnly } of node.exportClause.elements) {
        if (node.isTypeOnly || isTypeOnly) names.push(name.text)
      }
    }
  })
  return { names: names.sort(), all }
}

test('the values that the package exports', () => {
  expect(Object.keys(core).sort()).toMatchInlineSnapshot(`
    [
      "EtcdRegisterError",
      "attachServer",
      "createRegistry",
      "createServiceHost",
      "decodeInstance",
      "goMicroFormat",
      "goZeroFormat",
      "grpcFormat",
      "jsonFormat",
      "kitexFormat",
      "kratosFormat",
      "plainFormat",
      "registryOptionsOf",
      "skydnsFormat",
      "traefikFormat",
    ]
  `)
})

test('the types that the package exports', () => {
  expect(typesOf(index).all).toEqual(['./types.ts'])
  expect(typesOf(index).names).toMatchInlineSnapshot(`
    [
      "AddressRule",
      "Balancer",
      "BalancerFactory",
      "BalancerName",
      "Capabilities",
      "Decoded",
      "Entry",
      "ErrorCode",
      "EtcdRegisterOptions",
      "FormatName",
      "FoundInstance",
      "GoMicroOptions",
      "GoZeroOptions",
      "GrpcOptions",
      "InstanceFields",
      "InstanceFormat",
      "JsonOptions",
      "KeyRange",
      "KitexOptions",
      "KratosOptions",
      "PickContext",
      "PlainOptions",
      "RawEntry",
      "ServerOptions",
      "ServerRegistration",
      "ServerState",
      "ServiceHost",
      "SkydnsOptions",
      "TraefikOptions",
    ]
  `)
  expect(typesOf(types).names).toMatchInlineSnapshot(`
    [
      "Change",
      "DiscoverOptions",
      "Discovery",
      "DiscoveryEvents",
      "ErrorStatus",
      "InstanceStatus",
      "Logger",
      "LossReason",
      "Registration",
      "RegistrationEvents",
      "RegistrationState",
      "Registry",
      "RegistryOptions",
      "RegistryStatus",
      "ServiceInstance",
      "ServiceOptions",
    ]
  `)
})

test('both builds export the same values', async () => {
  const expected = Object.keys(core).sort()
  const esm = (await import('../dist/index.mjs' as string)) as object
  const cjs = createRequire(import.meta.url)('../dist/index.cjs') as object
  expect(Object.keys(esm).sort()).toEqual(expected)
  expect(Object.keys(cjs).sort()).toEqual(expected)
})
