import { IsIn, IsInt, IsUUID, Min } from 'class-validator'

export class CreatePaymentDto {
  @IsUUID()
  orderId!: string

  /** In cents. */
  @IsInt()
  @Min(1)
  amount!: number

  @IsIn(['EUR', 'USD'])
  currency!: string
}
