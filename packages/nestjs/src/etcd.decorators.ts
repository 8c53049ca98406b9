import { Inject } from '@nestjs/common'
import { ETCD_REGISTRATION, ETCD_REGISTRY, getDiscoveryToken } from './etcd.constants.ts'

type InjectDecorator = PropertyDecorator & ParameterDecorator

/** Injects the `Registry`. */
export const InjectRegistry = (): InjectDecorator => Inject(ETCD_REGISTRY)

/** Injects the `CurrentRegistration`, whose `current` is undefined until the app listens. */
export const InjectRegistration = (): InjectDecorator => Inject(ETCD_REGISTRATION)

/** Injects the `Discovery` of a service that the module imports with `EtcdModule.forFeature([service])`. */
export const InjectDiscovery = (service: string): InjectDecorator => Inject(getDiscoveryToken(service))
