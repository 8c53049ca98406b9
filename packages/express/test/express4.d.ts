/** Its types are those of 5 as far as these tests go; the alias has none of its own. */
declare module 'express4' {
  export { default } from 'express'
}
