/** Debian's Chromium, driven by playwright-core. */
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { afterAll, beforeAll } from 'vitest'
import { type Browser, chromium } from 'playwright-core'

const file = (process.env.PATH ?? '')
  .split(delimiter)
  .map(folder => join(folder, 'chromium'))
  .find(existsSync)

export const whyNoChromium = file === undefined ? 'there is no Chromium: see .ci/run' : undefined

/** A browser for the tests of a file, where there is one. */
export function browserOf(): () => Browser {
  let browser: Browser | undefined
  beforeAll(async () => {
    if (file !== undefined) browser = await chromium.launch({ executablePath: file })
  }, 60_000)
  afterAll(async () => browser?.close())
  return () => browser!
}
