import { Body, Controller, Get, Param, Post } from '@nestjs/common'
import { CreatePaymentDto } from './create-payment.dto.ts'
import { OrdersClient } from './orders.client.ts'
import { PaymentsService } from './payments.service.ts'

@Controller('payments')
export class PaymentsController {
  constructor(
    private readonly payments: PaymentsService,
    private readonly orders: OrdersClient,
  ) {}

  @Post()
  create(@Body() wanted: CreatePaymentDto) {
    return this.payments.pay(wanted)
  }

  @Get(':id')
  find(@Param('id') id: string) {
    return this.payments.find(id)
  }

  @Get(':id/order')
  order(@Param('id') id: string) {
    return this.orders.find(this.payments.find(id).orderId)
  }
}
