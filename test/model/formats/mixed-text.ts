/**
 * Lines of mixed text, the same on every machine: code, ten scripts, emoji, digits of other scripts, odd spaces, control tokens,
 * and random characters. For tokenizers to agree on.
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { type Rng, seeded } from '../../../src/base/rng.ts'

export const mixedLines = 10_000

const english =
  'the of and to in is that it was for on are as with his they at be this from I have or by one had not but what all were when we there can an your which their said if do will each about how up out them then she many some so these would other into has more her two like him see time could no make than first been its who now people my made over did down only way find use may water long little very after words called just where most know'
const scripts: readonly string[] = [
  'Größe Straße über für schön Käse naïve façade señor garçon Łódź žluťoučký kůň İstanbul ığdır Đà Nẵng Việt Nam tiếng',
  'Привет мир Россия город вода слово ёлка подъезд Київ їжак ґанок Беларусь',
  'Καλημέρα κόσμε Ελλάδα θάλασσα ἄνθρωπος ὅτι',
  '你好 世界 中华人民共和国 机器学习 語言模型 こんにちは 世界 ひらがな カタカナ 日本語 안녕하세요 세계 한국어',
  'مرحبا بالعالم اللغة العربية ٱلسَّلَامُ فارسی اردو שלום עולם עברית',
  'नमस्ते दुनिया हिन्दी भाषा বাংলা ভাষা தமிழ் மொழி తెలుగు ಕನ್ನಡ മലയാളം',
  'สวัสดีชาวโลก ภาษาไทย ລາວ ខ្មែរ မြန်မာ ქართული հայերեն አማርኛ ᏣᎳᎩ'
]
const emoji = ['😀', '👍🏽', '👨‍👩‍👧‍👦', '🏳️‍🌈', '🇫🇷', '❤️', '🚀', '✅', '☃', '1️⃣', '🤷🏿‍♀️', '𝔘𝔫𝔦𝔠𝔬𝔡𝔢', '🜁']
const digits = [
  '0123456789',
  '٠١٢٣٤٥٦٧٨٩',
  '۰۱۲۳۴۵۶۷۸۹',
  '०१२३४५६७८९',
  '๐๑๒๓๔๕๖๗๘๙',
  '½⅓¼¾²³¹⁴①②③ⅧⅫ㈠',
  '０１２３４５６７８９',
  '𝟎𝟏𝟐𝟑'
]
const spaces = [
  ' ',
  '  ',
  '   ',
  '\t',
  '\t\t',
  '\u00a0',
  '\u2003',
  '\u200b',
  '\u3000',
  '\r',
  '\u2028',
  '        ',
  ' \t ',
  '\ufeff',
  '\u0085'
]
const code = [
  'function add(a, b) { return a + b; }',
  'for (let i = 0; i < n; i++) {',
  '    if x == None: raise ValueError(f"bad {x!r}")',
  '#include <stdio.h>',
  "SELECT * FROM users WHERE id=42 AND name LIKE '%o\\'b%';",
  '\treturn self.__class__.__name__',
  'const re = /^[a-z0-9_.-]+@[\\w.]+$/gi;',
  '<div class="a b">&nbsp;</div>',
  '{"key": [1, 2.5e-10, null], "k2": "\\u00e9"}',
  'git commit -m "fix: don\'t crash" && ./run.sh --flag=1 | tee /dev/null',
  'x->y[0] <<= 0xFF; // TODO',
  '!!! ??? ... --- === *** ((( ))) ;;; ::: @@@ $$$ %%% ^^^ ~~~ ``` \\\\\\',
  "I'm you're he'll they've I'd it's DON'T CAN'T we'Ve",
  'https://example.org/a/b?c=d&e=%20f#g',
  '2024-02-29T12:34:56.789Z +1 (555) 010-9999 1,234,567.89 €3.50 £4 ¥500'
]
const controls = [
  '<|im_start|>',
  '<|im_end|>',
  '<|endoftext|>',
  '</s>',
  '<s>',
  '<bos>',
  '<eos>',
  '<start_of_turn>',
  '<end_of_turn>',
  '<tool_call>',
  '<|fim_prefix|>',
  '<unused7>',
  '<0x0A>',
  '<pad>'
]

const pick = <T>(all: readonly T[], rng: Rng): T => all[Math.floor(rng() * all.length)]!

function word(rng: Rng): string {
  const kind = rng()
  if (kind < 0.35) {
    const word = pick(english.split(' '), rng)
    return rng() < 0.15 ? word.toUpperCase() : rng() < 0.2 ? word[0]!.toUpperCase() + word.slice(1) : word
  }
  if (kind < 0.6) return pick(pick(scripts, rng).split(' '), rng)
  if (kind < 0.68) return pick(emoji, rng)
  if (kind < 0.8) {
    const of = Array.from(pick(digits, rng))
    return Array.from({ length: 1 + Math.floor(rng() * 6) }, () => pick(of, rng)).join('')
  }
  if (kind < 0.85) return pick(controls, rng)
  if (kind < 0.92) return pick(code, rng)
  return Array.from({ length: 1 + Math.floor(rng() * 8) }, () => character(rng)).join('')
}

/** Of any plane, but no half of a pair. */
function character(rng: Rng): string {
  const ranges: readonly (readonly [number, number])[] = [
    [0x20, 0x7f],
    [0xa0, 0x24f],
    [0x250, 0x2fff],
    [0x3000, 0xd7ff],
    [0xe000, 0xfffd],
    // Letters that came later are none to the tables of an older Unicode, such as llama.cpp's.
    [0x10000, 0x103d5],
    [0x1d400, 0x1faff],
    [0x20000, 0x2a6df]
  ]
  const [from, to] = pick(ranges, rng)
  return String.fromCodePoint(from + Math.floor(rng() * (to - from)))
}

/** One of the lines, without its end; none is empty. */
function line(rng: Rng): string {
  const count = 1 + Math.floor(rng() * 10)
  let text = rng() < 0.15 ? pick(spaces, rng) : ''
  for (let i = 0; i < count; i++) {
    if (i > 0) text += rng() < 0.7 ? ' ' : rng() < 0.5 ? pick(spaces, rng) : rng() < 0.3 ? '\n' : ''
    text += word(rng)
    if (rng() < 0.15) text += pick([',', '.', '!', '?', ';', ':', ')', '"', "'", '…', '—'], rng)
  }
  return rng() < 0.1 ? text + pick(spaces, rng) : text
}

export function mixedText(): string[] {
  const rng = seeded(20261130)
  return Array.from({ length: mixedLines }, () => line(rng))
}

/** Two bytes that ids of another text hardly have. */
export function idsDigest(ids: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(4 * ids.length)
  const view = new DataView(bytes.buffer)
  for (const [i, id] of ids.entries()) view.setUint32(4 * i, id, true)
  return sha256(bytes).subarray(0, 2)
}

/**
 * The line that llama.cpp is given in the place of one. It leaves out that Qwen's tokenizer composes characters first, and
 * takes every `</s>` for a control token: in Qwen's vocabulary it is text.
 */
export function referenceLine(model: string, line: string): string {
  return model === 'qwen' ? withoutEnd(line).normalize('NFC') : line
}

/** The line that ours is given in the place of one. */
export function ownLine(model: string, line: string): string {
  return model === 'qwen' ? withoutEnd(line) : line
}

const withoutEnd = (line: string): string => line.replaceAll('</s>', '<s>')
