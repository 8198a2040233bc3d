import { describe, expect, it } from 'vitest'
import {
  dataDirectory,
  decimalNumber,
  dtypes,
  layerRange,
  modelLayers,
  oneOf,
  repeated,
  size,
  tcpAddress,
  wholeNumber,
  words
} from '../../src/cli/flags.ts'

describe('flags', () => {
  it.each<[string, (text: string) => unknown, string, unknown]>([
    ['whole', wholeNumber('--n', 1), '60', 60],
    ['size', size('--memory'), '64MB', 64_000_000],
    ['size', size('--memory'), '1.5 GiB', 1_610_612_736],
    ['layers', layerRange('--layers'), '0-2', { start: 0, end: 2 }],
    ['layers of one', modelLayers('--layers'), '0-2', { range: { start: 0, end: 2 } }],
    ['layers of several', modelLayers('--layers'), 'a:b:0-2', { model: 'a:b', range: { start: 0, end: 2 } }],
    ['nothing', size('--memory', { zero: true }), '0', 0],
    ['zero', decimalNumber('--t', 'x', t => t <= 100), '0', 0],
    ['decimal', decimalNumber('--t', 'x', t => t <= 100), '.75', 0.75],
    ['small', decimalNumber('--t', 'x', t => t <= 100), '1e-3', 0.001],
    ['negative', decimalNumber('--t', 'x', t => t >= -2), '-1.5', -1.5],
    ['word', oneOf('--dtype', ['f32', 'q8']), 'q8', 'q8'],
    ['type', dtypes('--dtype'), 'q4', 'q4'],
    ['types', dtypes('--dtype'), 'q4,attention=q8,v=f32', { rest: 'q4', attention: 'q8', v: 'f32' }],
    ['a type with a minimum', dtypes('--dtype'), 'q4-min', 'q4-min'],
    ['types of some', dtypes('--dtype'), 'feed-forward=q4', { 'feed-forward': 'q4' }],
    ['text', words('--name'), 'a b', 'a b'],
    ['listen', tcpAddress('--listen', 'listen'), '/ip4/127.0.0.1/tcp/0', '/ip4/127.0.0.1/tcp/0'],
    ['listen 6', tcpAddress('--listen', 'listen'), '/ip6/::/tcp/4001', '/ip6/::/tcp/4001'],
    ['dial', tcpAddress('--bootstrap', 'dial'), '/dns4/uav.local/tcp/1', '/dns4/uav.local/tcp/1'],
    [
      'dial id',
      tcpAddress('--bootstrap', 'dial'),
      '/ip4/10.0.0.1/tcp/1/p2p/12D3KooW',
      '/ip4/10.0.0.1/tcp/1/p2p/12D3KooW'
    ]
  ])('take %s', (_, parse, text, value) => {
    expect(parse(text)).toEqual(value)
  })

  it.each<[string, (text: string) => unknown, readonly string[]]>([
    [
      '--n takes a whole number from 1 to 9',
      wholeNumber('--n', 1, 9),
      ['0', '10', '-1', '1.5', '', 'x', '0x5', '9e0', ' 5']
    ],
    ['--seed takes a whole number of at least 0', wholeNumber('--seed', 0), ['9007199254740993', 'NaN']],
    ['--memory takes a size', size('--memory'), ['', '0', '-1MB', '64XB', 'MB', '1e99GB']],
    ['--layers takes a range', modelLayers('--layers'), [':0-2', 'a:', 'a:2-0', '2']],
    ['--layers takes a range', layerRange('--layers'), ['2', '2-2', '3-2', '-1-2', '0:2', '0-2-4', '1.5-2', '']],
    [
      '--t takes a number',
      decimalNumber('--t', 'up to 100', t => t >= 0 && t <= 100),
      ['', '-1', '101', 'Infinity', 'NaN', '1,5', '1e999']
    ],
    [
      '--dtype is one of f32, q8, q4, q4-min, or types by kind such as q4,attention=q8: ',
      dtypes('--dtype'),
      [
        '',
        'Q8',
        'q4,',
        'rest',
        '=q4',
        'attention',
        'attention=',
        'attention=q5',
        'attn=q4',
        'q4,q8',
        'head=q4,head=q4',
        '__proto__=q4',
        'toString=q4',
        ' q4'
      ]
    ],
    ['--dtype is one of f32, q8', oneOf('--dtype', ['f32', 'q8']), ['', 'Q8', 'f16', 'toString']],
    ['--name must not be empty', words('--name'), ['', '  ']],
    [
      '--listen takes a TCP multiaddr',
      tcpAddress('--listen', 'listen'),
      [
        '',
        '4001',
        '/ip4/1.2.3/tcp/1',
        '/ip4/1.2.3.4/tcp/65536',
        '/ip4/1.2.3.4/udp/1',
        '/ip6/zz/tcp/1',
        '/dns4/a/tcp/1',
        '/ip4/1.2.3.4/tcp/1/'
      ]
    ],
    [
      '--bootstrap takes a TCP multiaddr',
      tcpAddress('--bootstrap', 'dial'),
      ['/ip4/1.2.3.4/tcp/0', '/dns4/a b/tcp/1', '/ip4/1.2.3.4/tcp/1/p2p/', 'localhost:4001']
    ]
  ])('refuse with: %s', (sentence, parse, texts) => {
    for (const text of texts) {
      expect(() => parse(text), text).toThrow(
        expect.objectContaining({ name: 'InvalidOptionError', exitCode: 2, message: expect.stringContaining(sentence) })
      )
    }
  })

  it('collect what is repeated', () => {
    const parse = repeated(words('--x'))
    expect(parse('b', parse('a', undefined))).toEqual(['a', 'b'])
  })
})

describe('the data directory', () => {
  it.each<[string | undefined, NodeJS.ProcessEnv, string | RegExp]>([
    ['/a/b', { SKEIN_DATA: '/c' }, '/a/b'],
    [undefined, { SKEIN_DATA: '/c', XDG_DATA_HOME: '/d' }, '/c'],
    [undefined, { SKEIN_DATA: '', XDG_DATA_HOME: '/d' }, '/d/skein'],
    [undefined, { XDG_DATA_HOME: 'relative' }, /\/\.local\/share\/skein$/],
    [undefined, {}, /\/\.local\/share\/skein$/]
  ])('of --data %s and %o', (flag, env, path) => {
    if (typeof path === 'string') expect(dataDirectory(flag, env)).toBe(path)
    else expect(dataDirectory(flag, env)).toMatch(path)
  })

  it('must not be empty', () => {
    expect(() => dataDirectory('', {})).toThrow('--data must not be empty')
  })
})
