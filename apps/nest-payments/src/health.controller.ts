import { EtcdHealthIndicator } from '@etcd-register/nestjs'
import { Controller, Get } from '@nestjs/common'
import { HealthCheck, HealthCheckService } from '@nestjs/terminus'

@Controller('health')
export class HealthController {
  constructor(
    private readonly health: HealthCheckService,
    private readonly etcd: EtcdHealthIndicator,
  ) {}

  /** For a readiness probe: an instance whose etcd is away still serves, one that leaves wants no more requests. */
  @Get()
  @HealthCheck()
  ready() {
    return this.health.check([() => this.etcd.isReady()])
  }

  /** For people and alerts: is etcd there, and are we registered? */
  @Get('etcd')
  @HealthCheck()
  registry() {
    return this.health.check([() => this.etcd.isHealthy()])
  }
}
