export * from '@etcd-register/core'
export { type EtcdRegisterMiddleware, etcdRegister } from './etcd-register.ts'
