import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import * as core from '@etcd-register/core'
import ts from 'typescript'
import { expect, expectTypeOf, test } from 'vitest'

const index = new URL('../src/index.ts', import.meta.url)

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
      "createAdapterRuntime",
      "createRegistry",
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
      "winstonLogger",
    ]
  `)
})

test('the types that the package exports', () => {
  expect(typesOf(index).all).toEqual([])
  expect(typesOf(index).names).toMatchInlineSnapshot(`
    [
      "AdapterRuntime",
      "AddressRule",
      "Allow",
      "Balancer",
      "BalancerFactory",
      "BalancerName",
      "Capabilities",
      "Change",
      "Credentials",
      "Decoded",
      "DecodedInstance",
      "DiscoverOptions",
      "Discovery",
      "DiscoveryEvents",
      "Endpoint",
      "Entry",
      "ErrorCode",
      "ErrorStatus",
      "EtcdOptions",
      "EtcdRegisterOptions",
      "EtcdStatus",
      "FormatName",
      "FoundInstance",
      "GoMicroOptions",
      "GoZeroOptions",
      "GrpcOptions",
      "InstanceFields",
      "InstanceFormat",
      "InstanceStatus",
      "JsonOptions",
      "KeyRange",
      "KitexOptions",
      "KratosOptions",
      "LeaseStatus",
      "Logger",
      "LossReason",
      "PickContext",
      "PlainOptions",
      "RawEntry",
      "Registration",
      "RegistrationEvents",
      "RegistrationState",
      "RegistrationStatus",
      "Registry",
      "RegistryOptions",
      "RegistryStatus",
      "ServerOptions",
      "ServerRegistration",
      "ServerState",
      "ServiceInstance",
      "ServiceOptions",
      "SkydnsOptions",
      "TlsOptions",
      "TraefikOptions",
      "WatchStatus",
      "WinstonLike",
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

/** The optional properties of `T` that refuse `undefined`, which `process.env.NAME` can be. */
type RefusesUndefined<T> = {
  [K in keyof T]-?: object extends Pick<T, K> ? (undefined extends Required<T>[K] ? never : K) : never
}[keyof T]

test('every option may be undefined, also under exactOptionalPropertyTypes', () => {
  expectTypeOf<RefusesUndefined<{ a?: string; b?: string | undefined }>>().toEqualTypeOf<'a'>()
  expectTypeOf<RefusesUndefined<core.RegistryOptions>>().toBeNever()
  expectTypeOf<RefusesUndefined<core.ServiceOptions>>().toBeNever()
  expectTypeOf<RefusesUndefined<core.ServerOptions>>().toBeNever()
  expectTypeOf<RefusesUndefined<core.EtcdRegisterOptions>>().toBeNever()
  expectTypeOf<RefusesUndefined<core.DiscoverOptions>>().toBeNever()
  expectTypeOf<RefusesUndefined<core.TlsOptions>>().toBeNever()
  expectTypeOf<RefusesUndefined<core.JsonOptions & core.PlainOptions>>().toBeNever()
  expectTypeOf<RefusesUndefined<core.KratosOptions & core.KitexOptions & core.GoZeroOptions>>().toBeNever()
  expectTypeOf<RefusesUndefined<core.GoMicroOptions & core.GrpcOptions>>().toBeNever()
  expectTypeOf<RefusesUndefined<core.SkydnsOptions & core.TraefikOptions>>().toBeNever()
})
