import { EtcdModule } from '@etcd-register/nestjs'
import { Module } from '@nestjs/common'
import { OrdersClient } from './orders.client.ts'
import { PaymentsController } from './payments.controller.ts'
import { PaymentsService } from './payments.service.ts'
import { PaymentsStore } from './payments.store.ts'

@Module({
  imports: [EtcdModule.forFeature(['orders'])],
  controllers: [PaymentsController],
  providers: [PaymentsService, PaymentsStore, OrdersClient],
})
export class PaymentsModule {}
