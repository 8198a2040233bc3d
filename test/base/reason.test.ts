import { describe, expect, it } from 'vitest'
import { reasonOf } from '../../src/base/reason.ts'

describe('the reason of an error', () => {
  it.each([
    ['plain', new Error('it is so'), 'it is so'],
    ['none', new Error(''), 'no reason was given'],
    ['text', 'a text', 'a text'],
    ['chain', new Error('outer', { cause: new Error('inner') }), 'outer: inner'],
    ['the same twice', new Error('outer: inner', { cause: new Error('inner') }), 'outer: inner'],
    [
      'LevelDB on a full disk',
      new Error('Database failed to open', { cause: new Error('IO error: /d/000003.log: No space left on device') }),
      'the disk is full (Database failed to open: IO error: /d/000003.log: No space left on device)'
    ],
    [
      'a thread without descriptors',
      new Error('Worker initialization failure: EMFILE'),
      'this process may open no more files (ulimit -n) (Worker initialization failure: EMFILE)'
    ],
    [
      'LevelDB where the machine has too many files open',
      new Error('IO error: /d/LOCK: Too many open files in system'),
      'this machine may open no more files (IO error: /d/LOCK: Too many open files in system)'
    ],
    ['a code alone', Object.assign(new Error('open failed'), { code: 'EACCES' }), 'permission is denied (open failed)'],
    [
      'what was said before',
      new Error('/d cannot be made: the disk is full (ENOSPC: no space left on device)'),
      '/d cannot be made: the disk is full (ENOSPC: no space left on device)'
    ]
  ])('%s', (_name, error, text) => {
    expect(reasonOf(error)).toBe(text)
  })

  it('ends where a cause is its own', () => {
    const error = new Error('round')
    error.cause = error
    expect(reasonOf(error)).toBe('round')
  })
})
