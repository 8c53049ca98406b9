import { type CurrentRegistration, EtcdHealthIndicator, InjectRegistration } from '@etcd-register/nestjs'
import { Controller, Get } from '@nestjs/common'
import { HealthCheck, HealthCheckService, HealthIndicatorService } from '@nestjs/terminus'

@Controller('health')
export class HealthController {
  constructor(
    private readonly health: HealthCheckService,
    private readonly indicators: HealthIndicatorService,
    private readonly etcd: EtcdHealthIndicator,
    @InjectRegistration() private readonly roll: CurrentRegistration,
  ) {}

  /** For a readiness probe: an instance whose etcd is away still serves, one that leaves wants no more requests. */
  @Get()
  @HealthCheck()
  ready() {
    return this.health.check([() => this.registration()])
  }

  /** For people and alerts: is etcd there, and are we on the roll? */
  @Get('etcd')
  @HealthCheck()
  registry() {
    return this.health.check([() => this.etcd.isHealthy()])
  }

  private registration() {
    const { current } = this.roll
    const leaving = current?.state === 'closed' || current?.instance.status === 'leaving'
    const indicator = this.indicators.check('registration')
    const state = current?.state ?? 'none'
    return leaving ? indicator.down({ state }) : indicator.up({ state })
  }
}
