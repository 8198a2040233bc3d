import { describe, it } from 'vitest'
import { needs } from '../needs.ts'

it('runs', needs(undefined), () => {})
it.skip('says nothing', () => {})
it('finds out when it runs', context => context.skip('the moon is not full'))
describe('moons', needs('this needs two moons'), () => {
  it.each([1, 2])('one of two: %i', () => {})
})
it('needs two moons', needs('this needs two moons'), () => {})
