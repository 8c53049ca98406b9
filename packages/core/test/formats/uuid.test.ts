import { expect, test } from 'vitest'
import { uuidOf } from '../../src/formats/uuid.ts'

// As Python's uuid.uuid5(uuid.NAMESPACE_URL, ...) has them.
test.each([
  ['', '1b4db7eb-4057-5ddf-91e0-36dec72071f5'],
  ['orders/10.0.0.5:8000', 'a07194b7-96c4-52f2-93d6-ae8f529482e2'],
  ['orders/[2001:db8::5]:8000', 'ed5d354b-f0ec-5af5-a979-44c8ee773125'],
])('a UUID of version 5 is what others make of the same text: %s', (text, uuid) => {
  expect(uuidOf(text)).toBe(uuid)
})
