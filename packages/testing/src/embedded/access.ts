import type { KeyRange } from './key-range.ts'

/** What the caller of a request may do. Each question refuses what it may not, and a token that is none. */
export interface Access {
  /** Who it is, if it says so. */
  user(): string | undefined
  /** Refuses nobody but who has to say who it is, and does not. */
  beSomebody(): void
  /** Refuses a request that is too large to be written down. */
  propose(): void
  read(range: KeyRange): void
  write(range: KeyRange): void
  /** Whatever only root may do. */
  administer(): void
}
