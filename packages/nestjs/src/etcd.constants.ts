// Strings, so that an ESM and a CommonJS copy of this package mean the same providers.
/** Token of the options. */
export const ETCD_OPTIONS = 'ETCD_REGISTER:OPTIONS'

/** Token of what ties the two to the life of the app. Nest shows it where a module uses `forFeature` without `forRoot`. */
export const ETCD_LIFECYCLE = 'ETCD_REGISTER:LIFECYCLE (of EtcdModule.forRoot() in the root module)'

/** Token of the `Registry`. */
export const ETCD_REGISTRY = 'ETCD_REGISTER:REGISTRY'

/** Token of the `CurrentRegistration`. */
export const ETCD_REGISTRATION = 'ETCD_REGISTER:REGISTRATION'

/** Token of the `Discovery` of a service, for example to override it in a test. */
export function getDiscoveryToken(service: string): string {
  return `ETCD_REGISTER:DISCOVERY:${service}`
}
