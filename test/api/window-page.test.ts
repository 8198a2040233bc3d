/** The window in a real browser, before real peers: what it shows, a loss, and whether everybody can use it. */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { afterEach, describe, expect, it } from 'vitest'
import { type ApiServer, serveApi } from '../../src/api/serve.ts'
import { listModels, splitBudgets } from '../../src/index.ts'
import { newSwarm } from '../../src/swarm/swarm-file.ts'
import { browserOf, whyNoChromium } from '../chromium.ts'
import { needs } from '../needs.ts'
import { livePeers } from '../peer/live-peers.ts'
import { PeerAmongMany } from './fifty.ts'

const axe = createRequire(import.meta.url).resolve('axe-core/axe.min.js')
/** Where pictures go for whoever wants to look at them. */
const pictures = process.env.SKEIN_PICTURES

describe('the page', needs(whyNoChromium), () => {
  const { peers, start, folder } = livePeers('window-page')
  const browser = browserOf()
  const doors: ApiServer[] = []
  const pages: Page[] = []
  afterEach(async () => {
    await Promise.all(pages.splice(0).map(page => page.context().close()))
    await Promise.all(doors.splice(0).map(door => door.close()))
  })

  /** A page, and what its console says that is no debugging. */
  async function openPage(url: string, size = { width: 1280, height: 900 }): Promise<{ page: Page; said: string[] }> {
    const context = await browser().newContext({ viewport: size })
    const page = await context.newPage()
    const said: string[] = []
    page.on('console', message => {
      if (['error', 'warning'].includes(message.type())) said.push(message.text())
    })
    page.on('pageerror', error => said.push(error.message))
    page.on('request', request => {
      if (!request.url().startsWith(url)) said.push(`it asks ${request.url()}`)
    })
    pages.push(page)
    await page.goto(url)
    return { page, said }
  }

  async function violations(page: Page): Promise<string[]> {
    await page.evaluate(await readFile(axe, 'utf8'))
    return page.evaluate(async () => {
      // biome-ignore lint/suspicious/noExplicitAny: it is put there by its script
      const { violations } = await (globalThis as any).axe.run()
      return violations.map(
        ({ id, nodes }: { id: string; nodes: { html: string }[] }) =>
          `${id}: ${nodes.map(({ html }) => html).join(' ')}`
      )
    })
  }

  async function picture(page: Page, name: string): Promise<void> {
    if (pictures === undefined) return
    await mkdir(pictures, { recursive: true })
    await page.screenshot({ path: join(pictures, `${name}.png`) })
  }

  it('shows the swarm, an answer as it comes, and a loss in the middle of it; and axe finds nothing', {
    timeout: 180_000
  }, async () => {
    const [stories] = await listModels('/nonexistent')
    const memoryBytes = Math.ceil(1.25 * Math.max(...splitBudgets(stories!, 2)))
    const swarm = newSwarm('meadow')
    for (let i = 0; i < 4; i++) await start({ swarm, memoryBytes })
    const driver = await start({ swarm, memoryBytes: 0 })
    const least = (): number => Math.min(...(driver.status().models[0]?.coverage ?? [0]))
    await expect.poll(least, { timeout: 90_000 }).toBeGreaterThanOrEqual(2)
    const door = await serveApi(driver, { port: 0 })
    doors.push(door)
    const { page, said } = await openPage(door.url)
    await expect.poll(() => page.locator('#peers tr').count(), { timeout: 30_000 }).toBe(5)
    await expect.poll(() => page.textContent('#summary'), { timeout: 10_000 }).toMatch(/^5 peers/)
    expect(await page.locator('#swarm .peer').count()).toBe(5)
    expect(await page.locator('#swarm .link').count()).toBe(10)
    expect(await page.getAttribute('#swarm', 'aria-label')).toContain('every layer of stories15m is held by')

    // By keyboard alone: the first stop leads to the conversation.
    await page.keyboard.press('Tab')
    expect(await page.evaluate('document.activeElement.textContent')).toBe('Skip to the conversation')
    // As many as there are bars for: the pause may come at any of them.
    await page.fill('#tokens', '150')
    await page.focus('#prompt')
    await page.keyboard.type('Once upon a time')
    let lost = ''
    let stopped: Promise<void> | undefined
    const watch = setInterval(() => {
      const [answer] = driver.answers()
      if (answer === undefined || answer.tokens < 5) return
      clearInterval(watch)
      lost = answer.route[0]!.peer
      stopped = peers.find(({ id }) => id === lost)!.stop()
    }, 5)
    await page.keyboard.press('Enter')
    await page.waitForSelector('#swarm .peer.lost', { state: 'attached', timeout: 20_000 })
    await picture(page, 'loss')
    await page.waitForSelector('#ask:enabled', { timeout: 60_000 })
    await stopped
    const text = (await page.textContent('#talk-list .answer .text')) ?? ''
    const alone = await driver.generate('Once upon a time', { maxTokens: 150 }).answer
    expect(text).toBe(alone.text)
    expect(await page.textContent('#talk-list .facts')).toMatch(
      /^\d+ tokens · first after .* tokens\/s · \d hops: …\w{7} 0-\d → .* · 1 lost, paused for \d+ ms · /
    )
    expect(await page.locator('#talk-list .pace.paused').count()).toBeGreaterThan(0)
    const news = (await page.textContent('#news')) ?? ''
    expect(news).toMatch(/answer 1 recovered in \d+ ms, \d+ tokens sent again/)
    expect(news).toContain(`answer 1 lost …${lost.slice(-7)}`)
    await expect.poll(() => page.locator('#peers tr').count(), { timeout: 30_000 }).toBe(4)
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme })
      expect(await violations(page), colorScheme).toEqual([])
      await picture(page, colorScheme)
    }
    await page.setViewportSize({ width: 360, height: 740 })
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(360)
    expect(await violations(page), 'on a phone').toEqual([])
    await picture(page, 'phone')
    expect(said).toEqual([])
  })

  it('shows fifty peers, and the loss of one among them', { timeout: 120_000 }, async () => {
    const peer = new PeerAmongMany(50)
    const door = await serveApi(peer.asPeer, { port: 0 })
    doors.push(door)
    const { page, said } = await openPage(door.url)
    await expect.poll(() => page.locator('#swarm .peer').count(), { timeout: 30_000 }).toBe(50)
    expect(await page.locator('#swarm .link').count()).toBe((50 * 49) / 2)
    expect(await page.locator('#swarm .way').count()).toBe(3)
    expect(await page.textContent('#summary')).toBe('50 peers · 1 not connected')
    expect(await page.locator('#peers tr').nth(3).textContent()).toMatch(/^…\w{7}18-243512 MB\d\d %/)
    peer.tell({ what: 'lost', answer: 1, peer: peer.status().peers[2]!.id, reason: 'silent', charged: true })
    await page.waitForSelector('#swarm .peer.lost', { state: 'attached' })
    await picture(page, 'fifty')
    expect(await violations(page)).toEqual([])
    expect(said).toEqual([])
  })

  it('has a peer go after a question, and takes a key where one is needed', { timeout: 120_000 }, async () => {
    const driver = await start({ swarm: newSwarm('alone'), memoryBytes: 128e6 })
    const keys = join(await folder(), 'keys')
    await writeFile(keys, 'me a-key-of-sixteen-or-more\n')
    let drained = 0
    const drain = async (): Promise<void> => {
      drained += 1
    }
    const door = await serveApi(driver, { port: 0, apiKeyFile: keys, drain })
    doors.push(door)
    const { page } = await openPage(door.url)
    await expect.poll(() => page.textContent('#summary')).toContain('a key is needed')
    await page.fill('#key', 'a-key-of-sixteen-or-more')
    await page.keyboard.press('Enter')
    await expect.poll(() => page.textContent('#summary'), { timeout: 10_000 }).toMatch(/^1 peer/)
    await page.click('#drain')
    await page.click('text="Leave it running"')
    expect(drained).toBe(0)
    await page.click('#drain')
    await page.click('#drain-dialog button[value=drain]')
    await expect.poll(() => drained).toBe(1)
    await expect.poll(() => page.textContent('#news')).toContain('this peer was told to go')
  })
})
