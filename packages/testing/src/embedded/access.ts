import type { KeyRange } from './key-range.ts'

/** What the caller of a request may do; refuses what it may not. */
export interface Access {
  readonly user: string | undefined
  read(range: KeyRange): void
  write(range: KeyRange): void
  /** Whatever only root may do. */
  administer(): void
}

/** Without authentication everybody may do everything. */
export const everything: Access = { user: undefined, read() {}, write() {}, administer() {} }
